//! Sessions on socket pairs: what goes through, and what comes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::{Duration, Instant},
};

use countersign_core::{
    digest::Origin,
    lane::{Lane, Shape, simple_key},
    masking::rows::RowPlan,
    records::Template,
};
use countersign_relay::{Engine, Entrant, Intake, Item, Returned, Spool, Why};

const SELECT: &[u8] = b"Q\0\0\0\x0dSELECT 1\0";
const DELETE: &[u8] = b"Q\0\0\0\x0dDELETE t\0";
const REPLY: &[u8] = b"C\0\0\0\x0dSELECT 0\0Z\0\0\0\x05I";
const PATIENCE: Duration = Duration::from_secs(10);

struct Scene {
    engine: Engine,
    intake: Arc<Intake>,
    spool: Arc<Spool>,
    bell: UnixStream,
    client: UnixStream,
    target: UnixStream,
}

fn file(stream: UnixStream) -> File {
    stream.set_nonblocking(true).unwrap();
    File::from(OwnedFd::from(stream))
}

fn patient(stream: UnixStream) -> UnixStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn scene() -> Scene {
    let mut lane = Lane::new(
        Origin::new(&["p", "s", "i", "t", "d"]),
        "s",
        [7; 16],
        1 << 20,
        200,
    );
    let shape = Shape {
        record: Template::new([b"{".to_vec(), vec![], vec![], vec![], b"}".to_vec()]),
        verdict: vec![],
        columns: vec![],
        description: Arc::from(&b""[..]),
        plan: RowPlan::new(vec![], None).unwrap(),
    };
    lane.know(simple_key(b"SELECT 1"), shape, 1);
    let intake = Arc::new(Intake::new(4));
    let spool = Arc::new(Spool::new(1 << 20, 1 << 20));
    let (bell, rings) = UnixStream::pair().unwrap();
    let engine = Engine::start(intake.clone(), spool.clone(), file(rings)).unwrap();
    let ((client, near), (target, far)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let entrant = Entrant {
        lane: Arc::new(Mutex::new(lane)),
        client: file(near),
        target: file(far),
        recording: 7,
        epoch: Arc::new(AtomicU64::new(1)),
        since: Instant::now(),
    };
    engine.enter(1, entrant).unwrap();
    Scene {
        engine,
        intake,
        spool,
        bell: patient(bell),
        client: patient(client),
        target: patient(target),
    }
}

impl Scene {
    fn returned(&mut self) -> Returned {
        self.bell.read_exact(&mut [0]).expect("the session is given back");
        let mut all = self.engine.returned();
        assert_eq!(all.len(), 1);
        let (number, returned) = all.remove(0);
        assert_eq!(number, 1);
        returned
    }

    fn hears(stream: &mut UnixStream, expected: &[u8]) {
        let mut heard = vec![0; expected.len()];
        stream.read_exact(&mut heard).expect("the bytes come through");
        assert_eq!(heard, expected);
    }
}

#[test]
fn i1_a_known_request_has_its_record_before_it_reaches_the_target() {
    let mut scene = scene();
    for _ in 0..3 {
        scene.client.write_all(SELECT).unwrap();
        Scene::hears(&mut scene.target, SELECT);
        assert!(matches!(&scene.intake.take(9)[..], [Item::Record(record)] if record.kind == "command"));
        scene.target.write_all(REPLY).unwrap();
        Scene::hears(&mut scene.client, REPLY);
        assert!(
            matches!(&scene.intake.take(9)[..], [Item::Record(record)] if record.kind == "command.finished")
        );
    }
    scene.engine.stop();
}

#[test]
fn i3_an_unknown_request_is_given_back_and_not_a_byte_of_it_is_sent() {
    let mut scene = scene();
    scene.client.write_all(DELETE).unwrap();
    let returned = scene.returned();
    assert_eq!((returned.why, &returned.from_client[..]), (Why::Request, DELETE));
    assert_eq!(scene.target.read(&mut [0; 9]).unwrap(), 0); // only its end: the sockets went with the session
    assert!(scene.engine.reclaim(1).is_none());
}

#[test]
fn i8_a_store_that_takes_no_records_lets_nothing_through() {
    let mut scene = scene();
    scene.intake.set_accepts(false);
    scene.client.write_all(SELECT).unwrap();
    assert_eq!(scene.returned().from_client, SELECT);
}

#[test]
fn while_the_writer_is_behind_requests_wait() {
    let mut scene = scene();
    (0..4).for_each(|_| scene.intake.put_turn());
    scene.client.write_all(SELECT).unwrap();
    scene
        .target
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    assert!(scene.target.read(&mut [0; 9]).is_err());
    scene.intake.take(4);
    scene.target.set_read_timeout(Some(PATIENCE)).unwrap();
    Scene::hears(&mut scene.target, SELECT);
}

#[test]
fn an_unexpected_reply_is_given_back_with_its_request() {
    let mut scene = scene();
    scene.client.write_all(SELECT).unwrap();
    Scene::hears(&mut scene.target, SELECT);
    scene.target.write_all(b"E\0\0\0\x05\0").unwrap();
    let returned = scene.returned();
    let turned = returned.turned.expect("the request is due");
    assert_eq!(returned.why, Why::Turned);
    assert_eq!(
        (&turned.request[..], &turned.left[..]),
        (SELECT, &b"E\0\0\0\x05\0"[..])
    );
}

#[test]
fn bytes_that_nobody_asked_for_are_given_back() {
    let mut scene = scene();
    scene.target.write_all(b"N\0\0\0\x05\0").unwrap();
    let returned = scene.returned();
    assert_eq!(
        (returned.why, &returned.from_target[..]),
        (Why::Unasked, &b"N\0\0\0\x05\0"[..])
    );
}

#[test]
fn i4_a_client_that_leaves_takes_its_request_back() {
    let mut scene = scene();
    scene.client.write_all(SELECT).unwrap();
    Scene::hears(&mut scene.target, SELECT);
    drop(std::mem::replace(
        &mut scene.client,
        UnixStream::pair().unwrap().0,
    ));
    let returned = scene.returned();
    assert_eq!(returned.why, Why::Left);
    assert!(returned.turned.is_some());
}

#[test]
fn a_reclaimed_session_comes_back_at_once_and_whole() {
    let mut scene = scene();
    scene.client.write_all(SELECT).unwrap();
    Scene::hears(&mut scene.target, SELECT);
    scene.target.write_all(&REPLY[..7]).unwrap();
    let returned = scene.engine.reclaim(1).expect("it is here");
    assert_eq!(returned.why, Why::Asked);
    let turned = returned.turned.expect("the request is due");
    assert!(REPLY.starts_with(&turned.left));
}

#[test]
fn a_target_that_breaks_the_protocol_is_told_apart() {
    let mut scene = scene();
    scene.client.write_all(SELECT).unwrap();
    Scene::hears(&mut scene.target, SELECT);
    scene.target.write_all(b"C\0\0\0\x01").unwrap();
    assert!(matches!(scene.returned().why, Why::Broken(_)));
}

#[test]
fn what_a_session_shows_is_handed_over_to_be_stored() {
    let mut scene = scene();
    scene.client.write_all(SELECT).unwrap();
    Scene::hears(&mut scene.target, SELECT);
    scene.target.write_all(REPLY).unwrap();
    Scene::hears(&mut scene.client, REPLY);
    let taken = scene.spool.take();
    let events = String::from_utf8(taken.get(&7).cloned().unwrap_or_default()).unwrap();
    assert!(events.contains("\"type\":\"command\""), "{events}");
    assert_eq!(taken.len(), 1);
}

#[test]
fn a_request_that_could_not_be_recorded_is_given_back_unsent() {
    let mut scene = scene();
    scene.spool.set_accepts(false);
    scene.client.write_all(SELECT).unwrap();
    let returned = scene.returned();
    assert_eq!(
        (returned.why, returned.from_client),
        (Why::Request, SELECT.to_vec())
    );
    assert!(returned.to_target.is_empty() && scene.intake.take(9).is_empty());
}
