//! The session's promises, without any replica: answers are fed by hand.

use bytes::BytesMut;

use super::*;

const A: ReplicaId = ReplicaId(0);
const B: ReplicaId = ReplicaId(1);
const C: ReplicaId = ReplicaId(2);

fn session(requests: u64) -> Session {
    let mut session = Session::new(GroupId(0), ClientId(7), A);
    for seq in 1..=requests {
        session.push(RequestSeq(seq), b"command", b"");
    }
    session
}

/// Seals and sends the open chunk.
fn send(session: &mut Session, now: Instant, quorum: usize) -> ReplicaSet {
    let place = session.seal(now);
    resend(session, place, now, quorum)
}

fn resend(session: &mut Session, place: usize, now: Instant, quorum: usize) -> ReplicaSet {
    let receivers = session.attempt(place, 4, quorum).receivers;
    session.sent(place, true, now + Duration::from_secs(1));
    receivers
}

fn answer(
    session: &mut Session,
    from: ReplicaId,
    quorum: usize,
    answers: &[(u64, ReplyStatus, &[u8])],
) -> Vec<(u64, Result<Vec<u8>, CallError>)> {
    let mut buffer = BytesMut::new();
    for (seq, status, payload) in answers {
        answer::push(&mut buffer, RequestSeq(*seq), *status, payload);
    }
    let mut ended = Vec::new();
    session.answers(from, &buffer.freeze(), quorum, &mut |ticket: Ticket, outcome: Outcome<'_>| {
        ended.push((ticket.seq.0, outcome.map(|(_, payload)| payload.to_vec())));
    });
    ended
}

fn refuse(session: &mut Session, now: Instant, from: ReplicaId, leader: Option<ReplicaId>) {
    let reason = Reason::NotLeader { leader };
    session.refused(now, (from, reason), leader, &[RequestSeq(1)], 4, &mut |_, _| {
        panic!("a redirection ends nothing");
    });
}

#[test]
fn a_request_ends_once_however_often_it_is_answered() {
    let mut session = session(2);
    send(&mut session, Instant::now(), 1);
    let first = answer(&mut session, A, 1, &[(2, ReplyStatus::Applied, b"two")]);
    assert_eq!(first, [(2, Ok(b"two".to_vec()))]);
    assert!(answer(&mut session, A, 1, &[(2, ReplyStatus::Applied, b"two")]).is_empty());
    assert_eq!(session.outstanding(), 1);
    answer(&mut session, A, 1, &[(1, ReplyStatus::Applied, b"one")]);
    assert_eq!((session.outstanding(), session.chunks()), (0, 0));
}

#[test]
fn only_equal_answers_of_distinct_replicas_make_one() {
    let mut session = session(1);
    send(&mut session, Instant::now(), 2);
    let good = [(1, ReplyStatus::Applied, &b"good"[..])];
    let lie = [(1, ReplyStatus::Applied, &b"lie"[..])];
    assert!(answer(&mut session, A, 2, &lie).is_empty());
    assert!(answer(&mut session, A, 2, &lie).is_empty(), "one replica votes once");
    assert!(answer(&mut session, A, 2, &good).is_empty(), "and for one value");
    assert!(answer(&mut session, B, 2, &good).is_empty());
    assert_eq!(answer(&mut session, C, 2, &good), [(1, Ok(b"good".to_vec()))]);
}

#[test]
fn a_redirection_is_followed_at_once_and_a_stale_one_ignored() {
    let mut session = session(1);
    let now = Instant::now();
    assert_eq!(send(&mut session, now, 1), ReplicaSet::only(A));
    refuse(&mut session, now, A, Some(C));
    assert!(session.chunk_is_due(0, now));
    assert_eq!(resend(&mut session, 0, now, 1), ReplicaSet::only(C));
    refuse(&mut session, now, A, Some(B));
    assert!(!session.chunk_is_due(0, now));
}

#[test]
fn replicas_that_point_at_one_another_make_the_client_pause() {
    let mut session = session(1);
    let now = Instant::now();
    send(&mut session, now, 1);
    let (mut from, mut to) = (A, B);
    for _ in 0..REDIRECTS_MAX {
        refuse(&mut session, now, from, Some(to));
        assert_eq!(resend(&mut session, 0, now, 1), ReplicaSet::only(to));
        std::mem::swap(&mut from, &mut to);
    }
    refuse(&mut session, now, from, Some(to));
    assert!(!session.chunk_is_due(0, now));
    assert!(session.chunk_is_due(0, now + NO_LEADER_PAUSE));
}

#[test]
fn silence_moves_on_to_the_next_replica_or_to_all() {
    let now = Instant::now();
    let mut trusting = session(1);
    send(&mut trusting, now, 1);
    assert_eq!(resend(&mut trusting, 0, now, 1), ReplicaSet::only(B));
    let mut wary = session(1);
    assert_eq!(send(&mut wary, now, 2), ReplicaSet::only(A));
    assert_eq!(resend(&mut wary, 0, now, 2), ReplicaSet::first(4));
}

#[test]
fn a_session_that_expired_after_a_retry_leaves_the_outcome_unknown() {
    let expired = [(1, ReplyStatus::Expired, &b""[..])];
    let now = Instant::now();
    let mut once = session(1);
    send(&mut once, now, 1);
    assert_eq!(answer(&mut once, A, 1, &expired), [(1, Err(CallError::SessionExpired))]);
    let mut twice = session(1);
    send(&mut twice, now, 1);
    resend(&mut twice, 0, now, 1);
    assert_eq!(answer(&mut twice, B, 1, &expired), [(1, Err(CallError::Unknown))]);
    assert_eq!(twice.next_seq(10), Err(SubmitError::SessionExpired));
}

#[test]
fn what_is_too_old_is_given_up_and_its_late_answer_ignored() {
    let mut session = session(3);
    let now = Instant::now();
    send(&mut session, now, 1);
    answer(&mut session, A, 1, &[(2, ReplyStatus::Applied, b"two")]);
    let mut ended = Vec::new();
    let later = now + Duration::from_secs(5);
    session.give_up(later, Duration::from_secs(5), &mut |ticket, outcome| {
        assert_eq!(outcome, Err(CallError::Unknown));
        ended.push(ticket.seq.0);
    });
    assert_eq!((ended, session.outstanding(), session.chunks()), (vec![1, 3], 0, 0));
    assert!(answer(&mut session, A, 1, &[(1, ReplyStatus::Applied, b"late")]).is_empty());
}

#[test]
fn answers_to_numbers_never_used_are_ignored() {
    let mut session = session(1);
    send(&mut session, Instant::now(), 1);
    let strange = [
        (0, ReplyStatus::Applied, &b""[..]),
        (2, ReplyStatus::Applied, b""),
        (u64::MAX, ReplyStatus::Applied, b""),
        (READ_BIT - 1, ReplyStatus::Applied, b""),
    ];
    assert!(answer(&mut session, A, 1, &strange).is_empty());
    assert_eq!(session.outstanding(), 1);
}
