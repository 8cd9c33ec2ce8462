//! Signs of fraud in the calls of late. Each node watches its own calls in memory, so a call pays nothing for it; the night watch
//! takes the findings to the books, where alerts are raised and subscribers are switched off.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::policy::{NewCountry, Signs};
use crate::types::{Country, E164, Refusal, SubscriberId, TenantId, Timestamp};

/// Subscribers whose calls are remembered; beyond that, those who have been quiet longest are forgotten.
const MOST_SUBSCRIBERS: usize = 20_000;
/// Calls of one subscriber that are remembered: enough to count any sign.
const MOST_CALLS: usize = 256;
/// Countries of subscribers that are known to be no news; beyond that, the books are asked again.
const MOST_KNOWN: usize = 100_000;
/// Findings that wait for the night watch; beyond that, new ones are dropped with a line in the log.
const MOST_FINDINGS: usize = 10_000;

/// What looks like fraud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// So many different numbers in a row, the last of them.
    SequentialNumbers(u32, E164),
    /// So many calls to one number.
    SameNumber(u32, E164),
    /// So many answered calls that ended soon.
    ShortCalls(u32),
    /// So many refusals, and the reason of the last.
    Refusals(u32, Refusal),
    /// So many calls in an hour to numbers of a class that is watched, the last to this one.
    WatchedClass(u32, E164),
    /// A country that nobody of the process has called yet; the books know whether it is new. Whose news it is.
    NewCountry(Country, NewCountry),
}

/// Whose calls look like what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In whose books.
    pub tenant: TenantId,
    /// Who.
    pub subscriber: SubscriberId,
    /// What.
    pub sign: Sign,
    /// Counted in so many seconds.
    pub window_secs: u32,
    /// When.
    pub at: Timestamp,
}

impl Sign {
    /// What its alert is called.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::SequentialNumbers(..) => "sequential_numbers",
            Self::SameNumber(..) => "same_number",
            Self::ShortCalls(_) => "short_calls",
            Self::Refusals(..) => "many_refusals",
            Self::WatchedClass(..) => "watched_class",
            Self::NewCountry(..) => "first_call_to_country",
        }
    }
}

impl Finding {
    /// What its alert says: what happened and what to do.
    pub fn text(&self) -> String {
        const DO: &str = "Look at the calls, and switch the subscriber off if they are not theirs.";
        let minutes = self.window_secs.div_ceil(60);
        match self.sign {
            Sign::SequentialNumbers(count, last) => format!("{count} numbers in a row, the last {last}, called in {minutes} min. {DO}"),
            Sign::SameNumber(count, number) => format!("{count} calls to {number} in {minutes} min. {DO}"),
            Sign::ShortCalls(count) => format!("{count} calls that ended right after the answer in {minutes} min. {DO}"),
            Sign::Refusals(count, last) => format!("{count} calls or requests refused in {minutes} min, the last for {last}. {DO}"),
            Sign::WatchedClass(count, last) => {
                format!("{count} calls in {minutes} min to numbers that are watched, the last to {last}. {DO}")
            }
            Sign::NewCountry(country, _) => format!("The first call to {country}. {DO}"),
        }
    }
}

/// Is a refusal for this reason something that somebody tries who has found out a secret? Lack of credit and our own troubles
/// are not.
const fn tells(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::Barred | Refusal::HighRisk | Refusal::NoRate | Refusal::SpendCap | Refusal::TooManyCalls | Refusal::TooFast)
}

/// One subscriber's calls of late.
#[derive(Debug)]
struct Seen {
    tenant: TenantId,
    last: Timestamp,
    calls: VecDeque<(Timestamp, u64)>,
    short: VecDeque<Timestamp>,
    refused: VecDeque<Timestamp>,
}

/// Everybody's calls of late.
#[derive(Debug, Default)]
pub struct Watch {
    seen: HashMap<SubscriberId, Seen>,
    known: HashSet<(TenantId, SubscriberId, Country)>,
    findings: Vec<Finding>,
}

impl Watch {
    /// A call is let in.
    pub fn called(&mut self, signs: &Signs, tenant: TenantId, subscriber: SubscriberId, number: E164, now: Timestamp) {
        let window = Duration::from_secs(signs.window_secs.into());
        let Ok(digits) = number.digits().parse::<u64>() else { return };
        let calls = &mut self.seen(tenant, subscriber, now).calls;
        remember(calls, (now, digits), |(at, _)| now.since(*at) > window);
        let same = count(calls.iter().filter(|(_, called)| *called == digits).count());
        let called: HashSet<u64> = calls.iter().map(|(_, called)| *called).collect();
        let up = (1..=digits).take_while(|step| called.contains(&digits.saturating_add(*step))).count();
        let down = (1..=digits).take_while(|step| called.contains(&digits.saturating_sub(*step))).count();
        let in_a_row = count(up + down + 1);
        let found = |sign| Finding { tenant, subscriber, sign, window_secs: signs.window_secs, at: now };
        // Once a row is found, only a number that makes it longer is news, not each call into it.
        if reached(in_a_row, signs.sequential_numbers) && same == 1 {
            self.find(found(Sign::SequentialNumbers(in_a_row, number)));
        }
        if reached(same, signs.same_number) {
            self.find(found(Sign::SameNumber(same, number)));
        }
        if let Some(country) = number.country()
            && !self.known.contains(&(tenant, subscriber, country))
        {
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
            self.known.insert((tenant, subscriber, country));
            self.find(found(Sign::NewCountry(country, signs.new_country)));
        }
    }

    /// So many calls in an hour to numbers of a class that is watched, the last to this one.
    pub fn watched(&mut self, tenant: TenantId, subscriber: SubscriberId, calls: u32, number: E164, now: Timestamp) {
        self.find(Finding { tenant, subscriber, sign: Sign::WatchedClass(calls, number), window_secs: 3600, at: now });
    }

    /// An answered call is over.
    pub fn ended(&mut self, signs: &Signs, tenant: TenantId, subscriber: SubscriberId, talked: Duration, now: Timestamp) {
        if talked > Duration::from_secs(signs.short_call_secs.into()) {
            return;
        }
        let window = Duration::from_secs(signs.window_secs.into());
        let short = &mut self.seen(tenant, subscriber, now).short;
        remember(short, now, |at| now.since(*at) > window);
        let short = count(short.len());
        if reached(short, signs.short_calls) {
            self.find(Finding { tenant, subscriber, sign: Sign::ShortCalls(short), window_secs: signs.window_secs, at: now });
        }
    }

    /// A request or a call is refused.
    pub fn refused(&mut self, signs: &Signs, tenant: TenantId, subscriber: SubscriberId, refusal: Refusal, now: Timestamp) {
        if !tells(refusal) {
            return;
        }
        let window = Duration::from_secs(signs.window_secs.into());
        let refused = &mut self.seen(tenant, subscriber, now).refused;
        remember(refused, now, |at| now.since(*at) > window);
        let refused = count(refused.len());
        if reached(refused, signs.refusals) {
            self.find(Finding { tenant, subscriber, sign: Sign::Refusals(refused, refusal), window_secs: signs.window_secs, at: now });
        }
    }

    /// What was found since it was asked last.
    pub fn findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// What could not be written down is found again.
    pub fn put_back(&mut self, findings: Vec<Finding>) {
        let later = std::mem::replace(&mut self.findings, findings);
        for finding in later {
            self.find(finding);
        }
    }

    /// Whose subscriber it is, if they have called of late.
    pub fn tenant(&self, subscriber: SubscriberId) -> Option<TenantId> {
        self.seen.get(&subscriber).map(|seen| seen.tenant)
    }

    fn seen(&mut self, tenant: TenantId, subscriber: SubscriberId, now: Timestamp) -> &mut Seen {
        if self.seen.len() >= MOST_SUBSCRIBERS && !self.seen.contains_key(&subscriber) {
            let mut quiet: Vec<Timestamp> = self.seen.values().map(|seen| seen.last).collect();
            quiet.sort_unstable();
            let half = quiet[quiet.len() / 2];
            self.seen.retain(|_, seen| seen.last > half);
        }
        let new = || Seen { tenant, last: now, calls: VecDeque::new(), short: VecDeque::new(), refused: VecDeque::new() };
        let seen = self.seen.entry(subscriber).or_insert_with(new);
        seen.last = now;
        seen
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() >= MOST_FINDINGS {
            tracing::error!(subscriber.id = %finding.subscriber, sign = finding.sign.kind(), "a sign of fraud is dropped: too many wait; look at the database");
            return;
        }
        self.findings.push(finding);
    }
}

/// Adds one, and forgets what is too old or too much.
fn remember<T>(some: &mut VecDeque<T>, one: T, too_old: impl Fn(&T) -> bool) {
    while some.len() >= MOST_CALLS || some.front().is_some_and(&too_old) {
        some.pop_front();
    }
    some.push_back(one);
}

fn count(some: usize) -> u32 {
    u32::try_from(some).unwrap_or(u32::MAX)
}

/// Is a sign looked for, and there?
const fn reached(count: u32, threshold: u32) -> bool {
    threshold > 0 && count >= threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Clock, Random};

    struct Calls {
        watch: Watch,
        signs: Signs,
        subscriber: SubscriberId,
        clock: Clock,
    }

    fn calls(signs: Signs) -> Calls {
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        Calls { watch: Watch::default(), signs, subscriber: SubscriberId::new(&clock, &Random::seeded(1)), clock }
    }

    impl Calls {
        fn call(&mut self, number: &str) -> Vec<Sign> {
            self.clock.advance(Duration::from_secs(1));
            self.watch.called(&self.signs, TenantId::MAIN, self.subscriber, number.parse().unwrap(), self.clock.timestamp());
            self.signs()
        }

        fn signs(&mut self) -> Vec<Sign> {
            self.watch.findings().into_iter().map(|finding| finding.sign).collect()
        }
    }

    #[test]
    fn numbers_in_a_row_are_found_in_any_order() {
        let mut calls = calls(Signs { sequential_numbers: 4, new_country: NewCountry::Off, ..Signs::default() });
        calls.call("+420601123400");
        for number in ["+420601123402", "+420601123403", "+420601123410"] {
            assert_eq!(calls.call(number), [], "{number}");
        }
        let last = "+420601123401".parse().unwrap();
        assert_eq!(calls.call("+420601123401"), [Sign::SequentialNumbers(4, last)]);
        assert_eq!(calls.call("+420601123401"), [], "the same row is no news");
        calls.clock.advance(Duration::from_secs(600));
        assert_eq!(calls.call("+420601123404"), [], "the others are too long ago");
    }

    #[test]
    fn one_number_again_and_again() {
        let mut calls = calls(Signs { same_number: 3, ..Signs::default() });
        calls.call("+420601123456");
        assert_eq!(calls.call("+420601123456"), []);
        assert_eq!(calls.call("+420601123456"), [Sign::SameNumber(3, "+420601123456".parse().unwrap())]);
    }

    #[test]
    fn short_calls_and_refusals_that_tell_are_counted() {
        let mut calls = calls(Signs { short_calls: 2, refusals: 2, ..Signs::default() });
        let now = calls.clock.timestamp();
        for secs in [3, 11, 10] {
            calls.watch.ended(&calls.signs.clone(), TenantId::MAIN, calls.subscriber, Duration::from_secs(secs), now);
        }
        assert_eq!(calls.signs(), [Sign::ShortCalls(2)]);
        for refusal in [Refusal::HighRisk, Refusal::BooksDown, Refusal::NotEnoughCredit, Refusal::Barred] {
            calls.watch.refused(&calls.signs.clone(), TenantId::MAIN, calls.subscriber, refusal, now);
        }
        assert_eq!(calls.signs(), [Sign::Refusals(2, Refusal::Barred)]);
    }

    #[test]
    fn a_country_is_asked_about_once_and_nothing_is_found_where_nothing_is_looked_for() {
        let never = Signs { sequential_numbers: 0, same_number: 0, short_calls: 0, refusals: 0, ..Signs::default() };
        let mut calls = calls(never);
        let new = Sign::NewCountry("CZ".parse().unwrap(), NewCountry::Tenant);
        assert_eq!(calls.call("+420601123456"), [new]);
        for number in 0..100 {
            assert_eq!(calls.call(&format!("+4206011234{number:02}")), []);
            assert_eq!(calls.call("+420601123456"), []);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut calls = calls(Signs::default());
        let random = Random::seeded(2);
        for _ in 0..=MOST_SUBSCRIBERS {
            calls.clock.advance(Duration::from_millis(1));
            calls.subscriber = SubscriberId::new(&calls.clock, &random);
            calls.watch.refused(&calls.signs.clone(), TenantId::MAIN, calls.subscriber, Refusal::Barred, calls.clock.timestamp());
        }
        assert!(calls.watch.seen.len() <= MOST_SUBSCRIBERS / 2 + 1, "{}", calls.watch.seen.len());
        let now = calls.clock.timestamp();
        for _ in 0..2 * MOST_FINDINGS {
            calls.watch.refused(&calls.signs.clone(), TenantId::MAIN, calls.subscriber, Refusal::Barred, now);
        }
        assert!(calls.watch.findings.len() <= MOST_FINDINGS);
        assert_eq!(calls.watch.seen[&calls.subscriber].refused.len(), MOST_CALLS);
    }
}
