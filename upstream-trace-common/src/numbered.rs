//! Enums whose numbers are part of the ABI, each declared once: the variants, their numbers and the way back.

macro_rules! numbered {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $repr:ident, $from:ident {
            $($(#[$doc:meta])* $variant:ident = $number:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[repr($repr)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant = $number,)* }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The one with this number; `None` if there is none.
            #[must_use]
            pub const fn $from(number: $repr) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}
pub(crate) use numbered;

#[cfg(test)]
mod tests {
    use crate::{Disposition, End, EventKind, StepKind};

    #[test]
    fn every_number_leads_back_to_its_variant() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_u32(*kind as u32), Some(*kind));
        }
        for kind in StepKind::ALL {
            assert_eq!(StepKind::from_u8(*kind as u8), Some(*kind));
        }
        for end in End::ALL {
            assert_eq!(End::from_u8(*end as u8), Some(*end));
        }
        for disposition in Disposition::ALL {
            assert_eq!(Disposition::from_u8(*disposition as u8), Some(*disposition));
        }
    }

    #[test]
    fn zeroed_memory_is_no_event_and_no_step() {
        assert_eq!(EventKind::from_u32(0), None);
        assert_eq!(StepKind::from_u8(0), None);
        assert_eq!(StepKind::from_u8(u8::MAX), None);
    }
}
