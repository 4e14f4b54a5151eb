use super::*;
use crate::event::Event;

#[test]
fn names_that_were_looked_up_are_shown() {
    let lookup = crate::testkit::lookup(crate::event::LookupState::Open, vec![None]);
    let mut shown = Vec::new();
    Event::Lookup(lookup).private(&mut |kind, text| shown.push((kind, text.clone())));
    assert_eq!(shown, [(Private::Host, "app.test".to_owned())]);
}

#[test]
fn every_text_of_a_client_is_shown() {
    let own = |text: &str| Some(text.to_owned());
    let mut event = Event::Log(LogLine {
        client: own("192.0.2.1"),
        server: own("shop.test"),
        request: own("GET /cart HTTP/1.1"),
        subrequest: own("/auth"),
        upstream: own("http://10.0.0.2:80/cart"),
        host: own("shop.test:8443"),
        message: "words".to_owned(),
        file: "/var/log/nginx/shop.test.log".to_owned(),
        ..LogLine::default()
    });
    let mut shown = Vec::new();
    event.private(&mut |kind, text| {
        shown.push((kind, text.clone()));
        text.clear();
    });
    assert_eq!(shown.len(), 8);
    assert!(shown.contains(&(Private::Request, "GET /cart HTTP/1.1".to_owned())));
    let text = serde_json::to_string(&event).expect("JSON");
    assert!(!text.contains("shop") && !text.contains("cart") && !text.contains("192.0.2"), "{text}");
}
