use super::*;
use crate::testkit::{config, line, refused, remote, unanswered_request, unanswered_syn};

fn names(case: &Case<'_>) -> Vec<String> {
    case.servers().iter().map(|(group, server)| format!("{} {}", group.name, server.target.text)).collect()
}

fn limits(case: &Case<'_>) -> Vec<String> {
    let named = |limit: &Limit<'_>| format!("{} {}", limit.setting.directive, limit.setting.text);
    case.limits().iter().map(named).collect()
}

#[test]
fn an_address_has_the_name_of_its_group() {
    let (attempt, read) = (refused(), config());
    let mut case = Case::of_attempt(&attempt);
    assert!(names(&case).is_empty() && case.passes().is_empty());
    case.config = Some(&read);
    assert_eq!(names(&case), ["backend 10.0.0.2:8080"]);
    assert_eq!(case.group().map(|group| group.name.as_str()), Some("backend"));
    assert_eq!(case.passes().len(), 2);
}

#[test]
fn in_two_groups_only_nginx_s_line_can_tell() {
    let (attempt, mut read) = (refused(), config());
    read.groups.push(Group { name: "other".to_owned(), ..read.groups[0].clone() });
    read.passes[1].group = Some("other".to_owned());
    let line = line("connect() failed (111: Connection refused) while connecting to upstream");
    let mut case = Case::of_attempt(&attempt);
    case.config = Some(&read);
    assert_eq!((names(&case).len(), case.group()), (2, None));
    case.log = Some(&line);
    assert_eq!(names(&case), ["backend 10.0.0.2:8080"]);
}

#[test]
fn where_variables_lead_anywhere_the_request_tells_which_location_it_was_not() {
    let (attempt, mut read) = (refused(), config());
    let line = line("connect() failed (111: Connection refused) while connecting to upstream");
    read.passes.iter_mut().for_each(|pass| pass.location = Some("/elsewhere".to_owned()));
    let found = |read: &Config| {
        let mut case = Case::of_attempt(&attempt);
        (case.config, case.log) = (Some(read), Some(&line));
        case.passes().len()
    };
    // A rewrite may have led there.
    assert_ne!(found(&read), 0);
    read.dynamic = true;
    assert_eq!(found(&read), 0);
    read.passes[0].location = Some("/".to_owned());
    assert_eq!(found(&read), 1);
}

#[test]
fn a_name_counts_if_nothing_else_can_have_led_there() {
    let (attempt, mut read) = (refused(), config());
    let name = |text: &str| Target { text: text.to_owned(), addresses: Vec::new(), port: Some(8080) };
    read.groups[0].servers[0].target = name("app1:8080");
    let found = |read: &Config| {
        let mut case = Case::of_attempt(&attempt);
        case.config = Some(read);
        names(&case).len()
    };
    assert_eq!(found(&read), 1);
    let mut two = read.clone();
    two.groups[0].servers[1].target = name("app2:8080");
    assert_eq!(found(&two), 0);
    let mut other_port = two.clone();
    other_port.groups[0].servers[1].target.port = Some(81);
    assert_eq!(found(&other_port), 1);
    assert_eq!(found(&Config { dynamic: true, ..read.clone() }), 0);
    assert_eq!(found(&Config { unread: Some("x".to_owned()), ..read.clone() }), 0);
    read.passes[1].group = None;
    read.passes[1].target = Some(name("app3:8080"));
    assert_eq!(found(&read), 0);
}

#[test]
fn the_timeout_that_ran_out_is_named() {
    let read = config();
    let (syn, request) = (unanswered_syn(), unanswered_request());
    let mut case = Case::of_attempt(&syn);
    case.config = Some(&read);
    assert_eq!(limits(&case), ["proxy_connect_timeout 4s"]);
    let mut case = Case::of_attempt(&request);
    case.config = Some(&read);
    assert_eq!(limits(&case), ["proxy_read_timeout 2s"]);
    assert_eq!(case.limit().and_then(|setting| setting.place.as_deref()), Some("nginx.conf:12"));
}

#[test]
fn two_timeouts_of_one_length_are_both_named_and_another_length_is_none() {
    let (mut attempt, mut read) = (unanswered_request(), config());
    read.passes[1].read = Setting { place: Some("nginx.conf:20".to_owned()), ..read.passes[0].read.clone() };
    let line = line("upstream timed out (110: x) while reading response header from upstream");
    let mut case = Case::of_attempt(&attempt);
    case.config = Some(&read);
    assert_eq!((case.limits().len(), case.limit()), (2, None));
    case.log = Some(&line);
    assert_eq!(case.limits().len(), 1, "the line names the server block");
    attempt.seen += 500 * MS;
    let mut case = Case::of_attempt(&attempt);
    case.config = Some(&read);
    assert!(case.limits().is_empty());
}

#[test]
fn a_configuration_that_was_edited_since_names_no_timeout() {
    let (attempt, read) = (unanswered_request(), Config { edited: true, ..config() });
    let mut case = Case::of_attempt(&attempt);
    case.config = Some(&read);
    assert!(case.limits().is_empty() && case.group().is_some());
}

#[test]
fn what_ended_by_itself_ran_into_no_timeout() {
    let (attempt, read) = (refused(), config());
    let mut case = Case::of_attempt(&attempt);
    case.config = Some(&read);
    assert!(case.limits().is_empty());
    assert!(servers(&read, &Upstream::Unix("/x".to_owned())).is_empty());
    assert_eq!(servers(&read, &Upstream::Tcp(remote())).len(), 1);
}

#[test]
fn where_http2_is_spoken() {
    let mut read = config();
    assert_eq!(http2_upstreams(&read).count(), 0);
    read.passes[0].http2 = true;
    let found: Vec<_> = http2_upstreams(&read).collect();
    assert_eq!((found.len(), found[0]), (2, &Upstream::Tcp(remote())));
}

#[test]
fn how_a_silence_compares_with_the_timeouts() {
    let (mut attempt, mut read) = (unanswered_request(), config());
    for pass in &mut read.passes {
        pass.tls = Some(false);
    }
    let fit = |attempt: &crate::event::Attempt| {
        let mut case = Case::of_attempt(attempt);
        case.config = Some(&read);
        case.timer_fit()
    };
    assert_eq!(fit(&attempt), Some(TimerFit::Fits));
    attempt.seen += 1_000 * MS;
    assert_eq!(fit(&attempt), Some(TimerFit::Other));
    attempt.seen -= 2_000 * MS;
    assert_eq!(fit(&attempt), Some(TimerFit::Early));
    attempt.by_socket = true;
    assert_eq!(fit(&attempt), Some(TimerFit::Early), "the socket knows when it last sent");
    attempt.retransmits = 1;
    assert_eq!(fit(&attempt), None, "that was a retransmission");
    attempt.retransmits = 0;
    attempt.seen += 1_000 * MS;
    assert_eq!(fit(&attempt), None, "as long as a timeout, or longer: a client may have left then, too");
    assert_eq!(Case::of_attempt(&unanswered_request()).timer_fit(), None, "the timeouts are not known");
}
