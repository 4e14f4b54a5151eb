use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// A reader that takes a piece whenever it is told to, and leaves when it is told no more.
struct Reader {
    go: Receiver<()>,
    took: Sender<Vec<u8>>,
    gone: bool,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go.recv().map_err(|_| ErrorKind::BrokenPipe)?;
        let _test_is_over = self.took.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Reader {
    fn is_gone(&self) -> bool {
        self.gone
    }
}

fn queue(room: usize, gone: bool) -> (Queue, Sender<()>, Receiver<Vec<u8>>) {
    let ((go, wait), (took, taken)) = (channel(), channel());
    (Queue::new(Reader { go: wait, took, gone }, "test", room, || {}).unwrap(), go, taken)
}

fn far() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

#[test]
fn a_paused_reader_holds_nobody_up_and_what_does_not_fit_is_counted() {
    let (mut queue, go, taken) = queue(10, false);
    for text in ["1234", "5678", "too much", "9"] {
        assert_eq!(queue.write(text.as_bytes()).unwrap(), text.len());
    }
    assert_eq!((queue.lost(), queue.has_room(), queue.is_closed()), (1, false, false));
    // It goes on: whole texts, in their order.
    (0..4).for_each(|_| go.send(()).unwrap());
    assert!(queue.drain(Duration::from_mins(1), far()));
    assert_eq!(taken.try_iter().collect::<Vec<_>>().concat(), b"123456789");
    assert!(queue.has_room());
}

/// Each of them may not wait even for a moment.
#[test]
fn thousands_of_texts_find_a_paused_reader_and_none_waits() {
    let (mut queue, _go, _taken) = queue(10, false);
    let (done, is_done) = channel();
    thread::spawn(move || {
        for _ in 0..10_000 {
            queue.write_all(b"1234").unwrap();
        }
        done.send(queue.lost()).unwrap();
    });
    let lost = is_done.recv_timeout(Duration::from_secs(30));
    assert!(lost.is_ok_and(|lost| lost > 9_900), "{lost:?}");
}

#[test]
fn the_end_does_not_wait_for_a_paused_reader() {
    let (mut queue, _go, _taken) = queue(10, false);
    queue.write_all(b"1234").unwrap();
    assert!(!queue.drain(Duration::from_millis(1), far()));
    assert!(!queue.drain(Duration::from_mins(1), Instant::now()));
}

#[test]
fn what_is_left_at_the_end_waits_for_a_reader_that_reads() {
    let (mut queue, go, taken) = queue(4, false);
    queue.be_patient(far());
    let reader = thread::spawn(move || (0..100).for_each(|_| go.send(()).unwrap_or_default()));
    for _ in 0..100 {
        queue.write_all(b"1234").unwrap();
    }
    assert!(queue.drain(Duration::from_mins(1), far()));
    reader.join().unwrap();
    assert_eq!((queue.lost(), taken.try_iter().flatten().count()), (0, 400));
}

#[test]
fn a_reader_that_left_is_noticed_at_once_or_without_any_text() {
    let (mut first, go, _taken) = queue(10, false);
    drop(go);
    first.write_all(b"1").unwrap();
    assert!(!first.drain(Duration::from_mins(1), far()));
    assert!(first.is_closed());
    assert_eq!(first.write(b"2").unwrap_err().kind(), ErrorKind::BrokenPipe);

    let (second, _go, _taken) = queue(10, true);
    while !second.is_closed() {
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_text_larger_than_the_queue_passes() {
    let (mut queue, go, _taken) = queue(4, false);
    go.send(()).unwrap();
    queue.write_all(b"123456789").unwrap();
    assert!(queue.drain(Duration::from_mins(1), far()));
    assert_eq!(queue.lost(), 0);
}
