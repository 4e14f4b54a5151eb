//! Where a system call has its arguments: in registers, which each architecture names in its own way. What differs
//! between architectures is in this file, and nowhere else.

/// Members of the kernel's `pt_regs`, the registers with which a process entered the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    /// First argument of the system call under way.
    pub first: &'static str,
    /// Second argument.
    pub second: &'static str,
    /// Third argument.
    pub third: &'static str,
    /// Says in which mode the processor was.
    pub mode: &'static str,
    /// Bits of [`Registers::mode`] that say so.
    mask: u64,
    /// These bits, if a process ran.
    process: u64,
    /// Bytes of the stack on top of which they lie, if a page is not larger; 0 if that differs between kernels.
    stack: u64,
}

impl Registers {
    /// x86-64: arguments by its calling convention; the two lowest bits of the code segment are the privilege.
    pub const X86_64: Self =
        Self { first: "di", second: "si", third: "dx", mode: "cs", mask: 3, process: 3, stack: 0 };

    /// arm64: the register of the first argument is that of the result, too, so that the kernel keeps a copy; the lowest
    /// bits of the processor's state are the exception level (`PSR_MODE_MASK`), 0 for processes of 32 and 64 bits. The stack
    /// is `MIN_THREAD_SHIFT` (4.14 to 7.x) without KASAN.
    pub const AARCH64: Self = Self {
        first: "orig_x0",
        second: "regs.1",
        third: "regs.2",
        mode: "pstate",
        mask: 0xf,
        process: 0,
        stack: 1 << 14,
    };

    /// Names that no structure has: nothing is read.
    const UNKNOWN: Self =
        Self { first: "-", second: "-", third: "-", mode: "-", mask: 0, process: 1, stack: 0 };

    /// Of the kernel that this is built for. The kernel side is told its architecture, see `cargo xtask build`.
    pub const HERE: Self = if cfg!(any(target_arch = "x86_64", bpf_target_arch = "x86_64")) {
        Self::X86_64
    } else if cfg!(any(target_arch = "aarch64", bpf_target_arch = "aarch64")) {
        Self::AARCH64
    } else {
        Self::UNKNOWN
    };

    /// Whether a process ran, by the value of [`Registers::mode`].
    #[must_use]
    #[inline(always)]
    pub const fn of_process(&self, mode: u64) -> bool {
        mode & self.mask == self.process
    }

    /// How large the stack of a process is in a kernel with such pages, where the kernel does not say it.
    #[must_use]
    pub const fn stack(&self, page: u64) -> Option<u64> {
        match self.stack {
            0 => None,
            least if least < page => Some(page),
            least => Some(least),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Registers;

    /// Values that kernels save.
    #[test]
    fn processes_are_told_from_the_kernel() {
        // __USER_CS, __USER32_CS, __KERNEL_CS.
        assert!(Registers::X86_64.of_process(0x33) && Registers::X86_64.of_process(0x23));
        assert!(!Registers::X86_64.of_process(0x10) && !Registers::X86_64.of_process(0));
        // EL0t with flags, EL0 of 32 bits, EL1h, EL2h.
        assert!(Registers::AARCH64.of_process(0x6000_1000) && Registers::AARCH64.of_process(0x6000_0010));
        assert!(!Registers::AARCH64.of_process(0x6040_0005) && !Registers::AARCH64.of_process(0x6040_0009));
        assert!((0..=u64::from(u16::MAX)).all(|mode| !Registers::UNKNOWN.of_process(mode)));
    }

    /// Pages of 4, 16 and 64 KiB.
    #[test]
    fn a_stack_is_a_page_at_least() {
        let sizes = |registers: Registers| [4096, 16384, 65536].map(|page| registers.stack(page));
        assert_eq!(sizes(Registers::AARCH64), [Some(16384), Some(16384), Some(65536)]);
        assert_eq!([sizes(Registers::X86_64), sizes(Registers::UNKNOWN)], [[None; 3]; 2]);
    }

    #[test]
    fn the_architecture_of_the_build_is_known() {
        let expected = match () {
            () if cfg!(target_arch = "x86_64") => ["di", "cs"],
            () if cfg!(target_arch = "aarch64") => ["orig_x0", "pstate"],
            () => ["-", "-"],
        };
        assert_eq!([Registers::HERE.first, Registers::HERE.mode], expected);
    }
}
