//! Channels without a group.

use super::testing::{channels_and_outbound, opened, park, rekey};
use super::*;
use crate::engine::channel::Reported;
use crate::group::ids::Epoch;
use crate::group::wire::GoAway;
use crate::group::wire::datagram::{Datagram, alive};

const ADDRESS: &str = "127.0.0.1:9";

fn channel(channels: &Channels, member: u64) -> Arc<Channel> {
    opened(channels, member, ADDRESS).expect("is opened").0
}

#[test]
fn nothing_is_opened_before_somebody_sends() {
    let channels = Channels::new(1, None);
    assert!(opened(&channels, 1, ADDRESS).is_none());
    let volleys = channels.outbound().expect("nobody took it").lanes.remove(0);
    assert!(channels.outbound().is_none());
    let channel = channel(&channels, 1);
    assert!(Arc::ptr_eq(
        channels.table().get(channel.number()).expect("is there"),
        &channel
    ));
    let told = volleys.try_recv().expect("whoever sends is told");
    assert!(matches!(told, Volley::Open(opened) if Arc::ptr_eq(&opened, &channel)));
    channels.close(&channel);
    let told = volleys.try_recv().expect("whoever sends is told");
    assert!(matches!(told, Volley::Close(closed) if Arc::ptr_eq(&closed, &channel)));
}

#[test]
fn numbers_are_given_again_and_a_lost_connection_takes_none() {
    let channels = Channels::new(1, None);
    let _outbound = channels.outbound();
    let first = channel(&channels, 1);
    let second = channel(&channels, 2);
    assert_ne!(first.number(), second.number());
    channels.close(&first);
    assert!(channels.table().get(first.number()).is_none());
    assert!(opened(&channels, 3, "0.0.0.0:0").is_none());
    let third = channel(&channels, 3);
    assert_eq!(third.number(), first.number());
}

#[test]
fn only_what_was_delivered_can_be_acknowledged_and_it_is_news_once() {
    let channels = Channels::new(1, None);
    let _outbound = channels.outbound();
    let channel = channel(&channels, 1);
    assert!(!channel.acknowledged(Epoch(6)));
    assert_eq!((channel.held(), channel.is_up()), (Epoch(3), false));
    assert!(!channel.acknowledged(Epoch(3)));
    assert!(channel.is_up(), "datagrams get through");
    assert!(channel.acknowledged(Epoch(5)));
    assert!(!channel.acknowledged(Epoch(5)));
    assert_eq!(channel.held(), Epoch(5));
}

#[test]
fn a_report_tells_what_is_held_and_once_that_the_multicast_is_heard() {
    let channels = Channels::new(1, None);
    let _outbound = channels.outbound();
    let channel = channel(&channels, 1);
    let told = |epoch| {
        let Reported { news, hears } = channel.reported(Epoch(epoch));
        (news, hears)
    };
    assert_eq!(told(6), (false, false), "that was not delivered");
    assert_eq!(told(3), (false, true));
    assert_eq!(told(5), (true, false));
    assert_eq!((channel.held(), channel.reports()), (Epoch(5), 2));
    channel.deaf();
    assert_eq!(told(5), (false, true));
    assert!(!channel.is_up(), "it says nothing of datagrams to it");
}

#[test]
fn a_rekey_goes_by_datagram_to_whoever_holds_what_it_follows() {
    let channels = Channels::new(1, None);
    let _outbound = channels.outbound();
    let channel = channel(&channels, 1);
    assert!(!channel.takes(&rekey(3)), "it was not probed");
    channel.acknowledged(Epoch(3));
    assert!(channel.takes(&rekey(3)) && !channel.takes(&rekey(4)));
    channel.down();
    assert!(!channel.takes(&rekey(3)));
}

fn answer(channels: &Channels, channel: &Channel, number: u64, from: &str) -> Option<Epoch> {
    let said = alive(channel.number(), number, |covered| {
        channel.key().code(covered)
    });
    let Some(Datagram::Alive(said)) = Datagram::parse(&said) else {
        panic!("it is a sign of life");
    };
    let from = from.parse().expect("an address");
    let answer = channels.answer(channel, &said, from)?;
    let Some(Datagram::Newest(said)) = Datagram::parse(&answer) else {
        panic!("it is an answer");
    };
    assert!(channel.key().answers(&said, number) && !channel.key().answers(&said, number + 1));
    Some(said.what)
}

#[test]
fn a_member_is_parked_where_datagrams_reach_it_and_answered_there_alone() {
    let channels = Channels::new(1, None);
    let _outbound = channels.outbound();
    let channel = channel(&channels, 1);
    assert!(!channels.park(&channel), "it was not probed");
    channel.acknowledged(Epoch(3));
    assert!(!channels.park(&channel), "it lacks what was delivered");
    channel.acknowledged(Epoch(5));
    assert_eq!(answer(&channels, &channel, 7, ADDRESS), None);
    assert!(channels.park(&channel) && channel.is_parked());
    assert_eq!(channel.address(), Some(ADDRESS.parse().expect("one")));
    assert_eq!(answer(&channels, &channel, 7, ADDRESS), Some(Epoch(5)));
    assert_eq!(answer(&channels, &channel, 7, "127.0.0.1:10"), None);
    let mapped = "[::ffff:127.0.0.1]:9";
    assert_eq!(answer(&channels, &channel, 8, mapped), Some(Epoch(5)));
    let forged = alive(channel.number(), 9, |_| [0; 16]);
    let Some(Datagram::Alive(said)) = Datagram::parse(&forged) else {
        panic!("it is a sign of life");
    };
    let from = ADDRESS.parse().expect("an address");
    assert_eq!(channels.answer(&channel, &said, from), None);
}

#[test]
fn whoever_is_parked_and_silent_is_found_and_nobody_else() {
    let channels = Channels::new(1, None);
    let _outbound = channels.outbound();
    let [connected, parked] = [1, 2].map(|member| channel(&channels, member));
    for channel in [&connected, &parked] {
        channel.acknowledged(Epoch(5));
    }
    assert!(channels.park(&parked));
    std::thread::sleep(Duration::from_millis(20));
    assert!(channels.silent(Duration::from_secs(60)).is_empty());
    let silent = channels.silent(Duration::from_millis(10));
    assert_eq!(silent.len(), 1);
    assert!(Arc::ptr_eq(&silent[0], &parked));
    answer(&channels, &parked, 1, ADDRESS).expect("is answered");
    assert!(channels.silent(Duration::from_secs(1)).is_empty());
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(channels.silent(Duration::from_millis(10)).len(), 1);
    parked.lives(channels.now());
    assert!(channels.silent(Duration::from_secs(1)).is_empty());
}

#[test]
fn who_is_parked_can_be_told_to_go_and_stays_until_it_says_so() {
    let channels = Channels::new(1, None);
    let _outbound = channels.outbound();
    let [connected, parked] = [1, 2].map(|member| channel(&channels, member));
    park(&channels, &parked);
    assert_eq!(connected.farewell(GoAway::default()), None);
    let (to, datagram) = parked.farewell(GoAway::default()).expect("it is parked");
    assert_eq!(to.to_string(), ADDRESS);
    let Some(Datagram::GoAway(said)) = Datagram::parse(&datagram) else {
        panic!("it is a go-away");
    };
    assert!(parked.key().vouches(&said) && !connected.key().vouches(&said));
    assert_eq!(channels.staying().len(), 1);
    connected.leaves();
    assert_eq!(channels.staying().len(), 1, "that one is not parked");
    parked.leaves();
    assert!(channels.staying().is_empty());
}

#[test]
fn only_so_many_answers_wait() {
    let channels = Channels::new(1, None);
    let volleys = channels.outbound().expect("nobody took it").lanes.remove(0);
    let answers = |count| vec![(ADDRESS.parse().expect("an address"), [0; AUTHENTICATED]); count];
    channels.send_answers(0, answers(MAX_ANSWERS));
    channels.send_answers(0, answers(1));
    assert!(matches!(volleys.try_recv(), Ok(Volley::Answers(all)) if all.len() == MAX_ANSWERS));
    assert!(volleys.try_recv().is_err());
    channels.answered(MAX_ANSWERS);
    channels.send_answers(0, answers(1));
    assert!(matches!(volleys.try_recv(), Ok(Volley::Answers(_))));
}

#[test]
fn whoever_holds_the_newest_epoch_is_parked_however_it_came_but_not_before_datagrams_do() {
    let (channels, _outbound) = channels_and_outbound();
    let (channel, _outbox) = opened(&channels, 1, ADDRESS).expect("is opened");
    channel.learn(Epoch(5));
    assert!(!channels.park(&channel), "no datagram came back yet");
    let (channel, _outbox) = opened(&channels, 2, ADDRESS).expect("is opened");
    channel.acknowledged(Epoch(3));
    assert!(!channels.park(&channel), "it lacks what was delivered");
    channel.learn(Epoch(5));
    assert!(channels.park(&channel));
}
