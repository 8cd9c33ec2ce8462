use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;

/// A point on the steady clock, in nanoseconds since an origin that means nothing: for durations, timers and billing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Moment(u64);

impl Moment {
    /// The moment `nanos` after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A time of day in microseconds UTC since 1970: what the books write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// From RFC 3339 text, any offset.
    pub fn parse(text: &str) -> Option<Self> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        i64::try_from(nanos.div_euclid(1000)).ok().map(Self)
    }

    /// 00:00 UTC of the same day.
    pub const fn start_of_day(self) -> Self {
        const DAY_MICROS: i64 = 86_400_000_000;
        Self(self.0.div_euclid(DAY_MICROS) * DAY_MICROS)
    }

    /// How long after `earlier` this is; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 with Z, to the microsecond: `2030-01-02T03:04:05.000006Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok())
            .ok_or(fmt::Error)?;
        f.write_str(&text)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("write the time as RFC 3339, such as 2030-01-02T03:04:05Z"))
    }
}

/// The one place for time. Both its hands move with the steady clock, so a jump of the wall clock neither
/// lengthens nor shortens anything that is running; the wall is read once, at the start.
#[derive(Clone)]
pub struct Clock(Arc<Hands>);

enum Hands {
    System { origin: Instant, wall_at_origin: i64 },
    Manual { nanos: AtomicU64, wall_at_origin: i64, moved: Notify },
}

impl Clock {
    /// The machine's clock. Every call gives hands to the same origin, so moments of one process compare.
    pub fn system() -> Self {
        static SYSTEM: OnceLock<Clock> = OnceLock::new();
        SYSTEM.get_or_init(|| Self(Arc::new(Hands::System { origin: steady_now(), wall_at_origin: wall_micros() }))).clone()
    }

    /// A clock that stands still until told to [`Clock::advance`]; it starts at `wall`.
    pub fn manual(wall: Timestamp) -> Self {
        Self(Arc::new(Hands::Manual { nanos: AtomicU64::new(0), wall_at_origin: wall.as_micros(), moved: Notify::new() }))
    }

    /// Now on the steady clock.
    pub fn now(&self) -> Moment {
        match &*self.0 {
            Hands::System { origin, .. } => Moment(u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)),
            Hands::Manual { nanos, .. } => Moment(nanos.load(Ordering::SeqCst)),
        }
    }

    /// Now as the books write it.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp_at(self.now())
    }

    /// The time of day at `moment` of this process.
    pub fn timestamp_at(&self, moment: Moment) -> Timestamp {
        let (Hands::System { wall_at_origin, .. } | Hands::Manual { wall_at_origin, .. }) = &*self.0;
        Timestamp(*wall_at_origin) + Duration::from_nanos(moment.0)
    }

    /// How far the machine's time of day has moved away from ours since the start, in microseconds: positive if it was set
    /// forward. A manual clock has no other.
    pub fn set_apart(&self) -> i64 {
        match &*self.0 {
            Hands::System { .. } => wall_micros().saturating_sub(self.timestamp().as_micros()),
            Hands::Manual { .. } => 0,
        }
    }

    /// Moves a manual clock on. Does nothing to the machine's.
    pub fn advance(&self, by: Duration) {
        if let Hands::Manual { nanos, moved, .. } = &*self.0 {
            nanos.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(0), Ordering::SeqCst);
            moved.notify_waiters();
        }
    }

    /// Returns once it is `moment` or later: the machine's clock gets there by itself, a manual one by [`Clock::advance`].
    pub async fn sleep_until(&self, moment: Moment) {
        match &*self.0 {
            Hands::System { .. } => tokio::time::sleep(moment.since(self.now())).await,
            Hands::Manual { moved, .. } => loop {
                let moving = moved.notified();
                if self.now() >= moment {
                    return;
                }
                moving.await;
            },
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.timestamp())
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
fn steady_now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
fn wall_micros() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the machine's clock is past 1970");
    i64::try_from(since_epoch.as_micros()).expect("the year is below 290000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_both_hands_together() {
        let clock = Clock::manual(Timestamp::parse("2030-01-02T03:04:05Z").unwrap());
        let before = clock.now();
        clock.advance(Duration::from_secs(61));
        assert_eq!(clock.now().since(before), Duration::from_secs(61));
        assert_eq!(clock.timestamp().to_string(), "2030-01-02T03:05:06Z");
    }

    #[test]
    fn a_day_starts_at_midnight_utc() {
        let at = Timestamp::parse("2030-01-02T23:59:59.999999Z").unwrap();
        assert_eq!(at.start_of_day().to_string(), "2030-01-02T00:00:00Z");
        assert_eq!(Timestamp::from_micros(-1).start_of_day().to_string(), "1969-12-31T00:00:00Z");
    }
}
