//! What an analyst reads, as text.

use expect_test::{Expect, expect};

use super::*;
use crate::dossier::sample::{NOW, lead};
use crate::sighting::Role;

#[track_caller]
fn check(role: Role, expected: Expect) {
    expected.assert_eq(&explain(&lead(role)));
}

#[test]
fn an_attackers_lead() {
    check(
        Role::C2,
        expect![[r#"
            domain portal.agency.gov.example as c2, at 2026-11-20T12:00:00Z
            malicious: risk 94, confidence 89
            4 sightings, 2 reporters, first seen 2026-11-18T10:00:00Z, last seen 2026-11-20T09:00:00Z

              points  age  status  code             source       origin             what it says
               -2.50       hit     prior            asean        asean              how likely it is, before anything is known of this one, that what is reported as c2 is it
               +2.20   3h  hit     claim            acme         acme               reported as c2, with a confidence of 80
               +1.88   2d  hit     claim            bolt         bolt               reported as c2, with a confidence of 80
               +1.74   3d  hit     listed           reputation   blocklist.example  the list has an entry listed
               +0.00   4h  hit     claim            acme         acme               reported as c2, with a confidence of 80
               -0.52   3d  hit     government-name  names        names              the list has an entry government-name
               +0.00       miss    no-entry         warninglist  warninglist        was asked and has no entry
              ------
               +2.80  log-odds, which is a risk of 100 / (1 + e^-2.80) = 94

            not checked
              dns  unknown  gave no answer: no answer in time

            made from
              model        asean 1 sha256:0123456789abcdef
              dns          dns 2026-11-01
              geoip        geoip 2026-11-01
              names        names 2026-11-01
              reputation   reputation 2026-11-01
              warninglist  warninglist 2026-11-01
        "#]],
    );
}

#[test]
fn a_victims_lead() {
    check(
        Role::CompromisedSite,
        expect![[r#"
            domain portal.agency.gov.example as compromised-site, at 2026-11-20T12:00:00Z
            suspicious: risk 40, confidence 78
            1 sighting, 1 reporter, first seen 2026-11-19T16:00:00Z, last seen 2026-11-19T16:00:00Z
            compromised-site is the role of a victim: the risk is that it is one, not what it does

              points  age  status  code             source       origin       what it says
               -1.50       hit     prior            asean        asean        how likely it is, before anything is known of this one, that what is reported as compromised-site is a victim; it is not scored as an attacker
               +1.60  20h  hit     claim            cert         cert         reported as compromised-site, so as a victim, without a confidence
               -0.52   3d  hit     government-name  names        names        the list has an entry government-name
               +0.00       miss    no-entry         warninglist  warninglist  was asked and has no entry
              ------
               -0.42  log-odds, which is a risk of 100 / (1 + e^0.42) = 40

            not checked
              dns  unknown  gave no answer: no answer in time

            made from
              model        asean 1 sha256:0123456789abcdef
              dns          dns 2026-11-01
              geoip        geoip 2026-11-01
              names        names 2026-11-01
              reputation   reputation 2026-11-01
              warninglist  warninglist 2026-11-01
        "#]],
    );
}

#[test]
fn ages_have_the_largest_unit_that_there_are_two_of() {
    let shown = |millis: i64| age(NOW, NOW.plus(-millis));
    assert_eq!(
        [-5, 0, 1_999, 119_999, 120_000, 2 * HOUR - 1, 2 * HOUR, 2 * DAY - 1, 400 * DAY].map(shown),
        ["0s", "0s", "1s", "119s", "2min", "119min", "2h", "47h", "400d"]
    );
}

#[test]
fn points_have_a_sign_and_two_decimals() {
    assert_eq!([0, 5, -5, 230, -1_000].map(points), ["+0.00", "+0.05", "-0.05", "+2.30", "-10.00"]);
}
