//! The arithmetic of a score. It reads no file and names no source.

use std::cmp::{Ordering, Reverse};

use super::model::{Model, clamp};
use super::{Coverage, Factor, Item, Score, Verdict, codes};
use crate::enrich::Status;
use crate::sighting::{IndicatorType, Role, Timestamp};

/// An item with what is left of it now.
struct Weighed {
    item: Item,
    /// 1 speaks for the role, -1 against it, 0 neither.
    side: i32,
    /// Its weight after decay.
    points: i32,
    /// What is left of 1 by age.
    freshness: f64,
}

pub(super) fn score(
    model: &Model,
    kind: IndicatorType,
    role: Role,
    items: Vec<Item>,
    coverage: Vec<Coverage>,
    now: Timestamp,
) -> Score {
    let is_suppressed = items.iter().any(|item| item.code == codes::SUPPRESS && item.reliability > 0);
    let mut factors = Vec::with_capacity(2 + items.len() + coverage.len());
    factors.push(prior(model, role));
    let mut weighed: Vec<Weighed> =
        items.into_iter().map(|item| Weighed::new(model, kind, role, item, now)).collect();
    weighed.sort_by(Weighed::by_origin_and_strength);
    let confidence = confidence(model, &weighed, &coverage);

    let (mut supporting, mut opposing) = (0, 0);
    for group in weighed.chunk_by_mut(|a, b| a.item.origin == b.item.origin && a.side == b.side) {
        let counted = count_once(model, group, &mut factors);
        supporting += counted.max(0);
        opposing -= counted.min(0);
    }
    factors.extend(coverage.into_iter().filter_map(uncovered));
    factors.sort_by(in_order);

    let log_odds = factors.iter().map(|factor| factor.points).sum();
    let risk = risk(log_odds);
    Score {
        risk,
        confidence,
        verdict: verdict(model, risk, confidence, is_suppressed),
        conflict: supporting >= model.conflict.supporting
            && (is_suppressed || opposing >= model.conflict.opposing),
        log_odds,
        factors,
    }
}

impl Weighed {
    fn new(model: &Model, kind: IndicatorType, role: Role, item: Item, now: Timestamp) -> Self {
        let weight = clamp(item.weight);
        let half_life = model.half_life(&item.code, role, kind);
        let freshness = freshness(now.since(item.observed_at), half_life);
        Self { item, side: weight.signum(), points: rounded(f64::from(weight) * freshness), freshness }
    }

    /// The strongest of each origin and side first, of equals the latest. A total order of what
    /// differs: two that compare equal are the same item.
    fn by_origin_and_strength(a: &Self, b: &Self) -> Ordering {
        a.item
            .origin
            .cmp(&b.item.origin)
            .then(b.side.cmp(&a.side))
            .then(b.points.abs().cmp(&a.points.abs()))
            .then(b.item.observed_at.cmp(&a.item.observed_at))
            .then(b.item.reliability.cmp(&a.item.reliability))
            .then_with(|| a.item.code.cmp(&b.item.code))
            .then_with(|| a.item.source.cmp(&b.item.source))
            .then_with(|| a.item.text.cmp(&b.item.text))
            .then(b.item.weight.cmp(&a.item.weight))
    }
}

/// What is left of 1 after `age` milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds stay exact for 285,000 years")]
fn freshness(age: i64, half_life: i64) -> f64 {
    libm::exp2(-(age as f64) / (half_life as f64))
}

#[expect(clippy::cast_possible_truncation, reason = "at most MAX_WEIGHT on either side of zero")]
fn rounded(points: f64) -> i32 {
    libm::round(points) as i32
}

/// `100 * share`, rounded, for a share of 0 to 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 100 after the clamp"
)]
fn percent(share: f64) -> u8 {
    libm::round(100.0 * share).clamp(0.0, 100.0) as u8
}

/// The risk of these log-odds in hundredths.
pub(super) fn risk(log_odds: i32) -> u8 {
    percent(1.0 / (1.0 + libm::exp(-f64::from(log_odds) / 100.0)))
}

/// The chance that not all of these are wrong, `leak` being that of a cause that is not among them.
fn noisy_or(leak: f64, chances: impl Iterator<Item = f64>) -> f64 {
    1.0 - chances.fold(1.0 - leak, |all_wrong, chance| all_wrong * (1.0 - chance))
}

fn prior(model: &Model, role: Role) -> Factor {
    let text = if role.is_victim() {
        format!(
            "how likely it is, before anything is known of this one, that what is reported as {} is a victim; \
             it is not scored as an attacker",
            role.as_str()
        )
    } else {
        format!(
            "how likely it is, before anything is known of this one, that what is reported as {} is it",
            role.as_str()
        )
    };
    Factor {
        code: codes::PRIOR.to_owned(),
        text,
        points: model.prior(role),
        source: model.name.clone(),
        origin: model.name.clone(),
        status: Status::Hit,
        observed_at: None,
    }
}

/// Counts one origin's items of one side: the strongest whole, the strongest of each further source
/// as a small bonus, what a source says beside that not at all; and all together up to the origin's
/// cap. Returns what they count for.
///
/// It never falls when something is added to the group, nor rises when something is taken away.
fn count_once(model: &Model, group: &mut [Weighed], factors: &mut Vec<Factor>) -> i32 {
    let origin = &model.origin;
    let still_counting = group.iter().filter(|member| member.points != 0);
    let reliability = still_counting.map(|member| member.item.reliability).max().unwrap_or(0);
    let mut bonus_left = origin.bonus_cap;
    let mut sum = 0;
    let first = factors.len();
    for (place, member) in group.iter_mut().enumerate() {
        let source = std::mem::take(&mut member.item.source);
        // Those of the group that were counted before it.
        let is_new = factors[first..].iter().all(|factor| factor.source != source);
        let points = if place == 0 {
            member.points
        } else if is_new {
            let bonus = member.points.abs().min(origin.bonus).min(bonus_left).max(0);
            bonus_left -= bonus;
            bonus * member.side
        } else {
            0
        };
        sum += points;
        factors.push(Factor {
            code: std::mem::take(&mut member.item.code),
            text: std::mem::take(&mut member.item.text),
            points,
            source,
            // The groups are told apart by it until the last is counted.
            origin: member.item.origin.clone(),
            status: Status::Hit,
            observed_at: Some(member.item.observed_at),
        });
    }
    let is_weak = reliability < origin.weak_below;
    let cap = if is_weak { origin.weak_cap } else { origin.cap };
    let excess = (sum.abs() - cap.max(0)).max(0) * sum.signum();
    if excess != 0 {
        factors.push(Factor {
            code: codes::CAP.to_owned(),
            text: if is_weak {
                "one origin of little reliability counts no further".to_owned()
            } else {
                "one origin counts no further".to_owned()
            },
            points: -excess,
            source: model.name.clone(),
            origin: group[0].item.origin.clone(),
            status: Status::Hit,
            observed_at: None,
        });
    }
    sum - excess
}

/// The factor of a source that has nothing to say, or could not be asked. It has no points.
fn uncovered(coverage: Coverage) -> Option<Factor> {
    let why = coverage.detail.as_deref();
    let (code, text) = match coverage.status {
        _ if !coverage.applies => return None,
        Status::Hit => return None,
        Status::Miss => (codes::NO_ENTRY, "was asked and has no entry".to_owned()),
        Status::Unknown => {
            (codes::NOT_CHECKED, format!("gave no answer: {}", why.unwrap_or("no reason given")))
        }
        Status::Skipped => {
            (codes::NOT_CHECKED, format!("was not asked: {}", why.unwrap_or("no reason given")))
        }
    };
    Some(Factor {
        code: code.to_owned(),
        text,
        points: 0,
        source: coverage.source.clone(),
        origin: coverage.source,
        status: coverage.status,
        observed_at: None,
    })
}

fn in_order(a: &Factor, b: &Factor) -> Ordering {
    let rank = |factor: &Factor| match factor.code.as_str() {
        codes::PRIOR => 0,
        codes::NO_ENTRY => 2,
        codes::NOT_CHECKED => 3,
        _ => 1,
    };
    rank(a)
        .cmp(&rank(b))
        .then(Reverse(a.points).cmp(&Reverse(b.points)))
        .then_with(|| a.code.cmp(&b.code))
        .then_with(|| a.source.cmp(&b.source))
        .then_with(|| a.origin.cmp(&b.origin))
        .then(a.observed_at.cmp(&b.observed_at))
        .then_with(|| a.text.cmp(&b.text))
        .then(a.status.cmp(&b.status))
}

/// How sure: the chance that not all origins are wrong, less for each source that could not be
/// asked. Context makes nobody surer: an origin counts by its claims, and by what speaks against.
fn confidence(model: &Model, weighed: &[Weighed], coverage: &[Coverage]) -> u8 {
    let share = f64::from(model.confidence.origin.min(100)) / 100.0;
    let chances = weighed.chunk_by(|a, b| a.item.origin == b.item.origin).map(|origin| {
        origin
            .iter()
            .filter(|member| member.side < 0 || (member.side > 0 && member.item.is_claim))
            .map(|member| f64::from(member.item.reliability.min(100)) / 100.0 * member.freshness)
            .fold(0.0, f64::max)
            * share
    });
    let sure = noisy_or(0.0, chances);

    let applicable = coverage.iter().filter(|source| source.applies);
    let (mut asked, mut missed) = (0u32, 0u32);
    for source in applicable {
        asked += 1;
        missed += u32::from(matches!(source.status, Status::Unknown | Status::Skipped));
    }
    let unchecked = if asked == 0 { 0.0 } else { f64::from(missed) / f64::from(asked) };
    percent(sure * (1.0 - unchecked * f64::from(model.confidence.unchecked.min(100)) / 100.0))
}

fn verdict(model: &Model, risk: u8, confidence: u8, is_suppressed: bool) -> Verdict {
    let bands = &model.bands;
    if is_suppressed {
        Verdict::Suppressed
    } else if confidence < bands.min_confidence {
        Verdict::Unscored
    } else if risk >= bands.malicious {
        Verdict::Malicious
    } else if risk >= bands.suspicious {
        Verdict::Suspicious
    } else if risk <= bands.benign {
        Verdict::Benign
    } else {
        Verdict::Unscored
    }
}

#[cfg(test)]
mod tests;
