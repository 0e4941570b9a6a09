//! Names, labels, first values, and where counts go.

use expect_test::expect;
use prometheus::{Encoder, TextEncoder};

use super::*;

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn known() -> Known {
    Known {
        stages: vec![KnownStage {
            name: "intake".to_owned(),
            inputs: list(&["raw.a"]),
            outputs: list(&["sightings"]),
        }],
        reasons: list(&["not-json"]),
        enrichers: list(&["geoip"]),
        agreements: list(&["it"]),
        outcomes: list(&["disclose", "refuse"]),
        clauses: list(&["roles"]),
        reporters: list(&["acme"]),
        sources: list(&["geoip"]),
    }
}

fn metrics() -> (Registry, Metrics) {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry, &known()).unwrap();
    (registry, metrics)
}

/// The samples that are ours and don't start with 0, in the order of their names.
fn shown(registry: &Registry) -> String {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let ours = |line: &&str| {
        line.starts_with("sightline_") && !line.ends_with(" 0") && !line.starts_with("sightline_build_info")
    };
    text.lines().filter(ours).map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn check(what: &'static str, label: &str, expected: &str) {
    let (registry, metrics) = metrics();
    metrics.count(&Count { what, label: label.to_owned(), n: 3 }, "intake");
    assert_eq!(shown(&registry), format!("{expected} 3\n"));
}

#[test]
fn counts_go_where_they_belong_and_labels_come_from_the_lists() {
    check("records", "raw.a", r#"sightline_records_consumed_total{stage="intake",topic="raw.a"}"#);
    check("records", "raw.b", r#"sightline_records_consumed_total{stage="intake",topic="other"}"#);
    check("outputs", "sightings", r#"sightline_records_produced_total{stage="intake",topic="sightings"}"#);
    check("sightings", "raw.a", r#"sightline_sightings_total{stage="intake",topic="raw.a"}"#);
    check("dead-letters", "not-json", r#"sightline_dead_letters_total{reason="not-json",stage="intake"}"#);
    check("dead-letters", "192.0.2.1", r#"sightline_dead_letters_total{reason="other",stage="intake"}"#);
    check("repeats", "acme", r#"sightline_reporter_repeats_total{reporter="acme"}"#);
    check("ledger-entries", "it", r#"sightline_ledger_entries_total{agreement="it"}"#);
    check("enrich", "geoip hit", r#"sightline_enrich_requests_total{enricher="geoip",result="hit"}"#);
    check("enrich", "geoip", r#"sightline_enrich_requests_total{enricher="geoip",result="other"}"#);
    check(
        "disclosures",
        "it disclose",
        r#"sightline_disclosures_total{agreement="it",clause="",outcome="disclose"}"#,
    );
    check(
        "disclosures",
        "it refuse roles",
        r#"sightline_disclosures_total{agreement="it",clause="roles",outcome="refuse"}"#,
    );
    check(
        "disclosures",
        "xx maybe no such clause",
        r#"sightline_disclosures_total{agreement="other",clause="other",outcome="other"}"#,
    );
}

#[test]
fn every_name_of_a_count_has_a_metric() {
    let (_, metrics) = metrics();
    for (what, _) in COUNTS {
        metrics.count(&Count { what, label: String::new(), n: 1 }, "intake");
    }
    assert_eq!(metrics.uncounted.get(), 0);
}

#[test]
fn another_name_is_a_fault() {
    let (_, metrics) = metrics();
    let count = Count { what: "whatever", label: String::new(), n: 1 };
    let counted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| metrics.count(&count, "intake")));
    assert_eq!(counted.is_err(), cfg!(debug_assertions));
    assert_eq!(metrics.uncounted.get(), u64::from(counted.is_ok()));
}

#[test]
fn a_lane_shows_what_it_has_and_takes_back_what_it_lost() {
    let (registry, metrics) = metrics();
    let tp = |partition| Tp { topic: "raw.a".into(), partition };
    let progress = |stable_end, committed, at| PartitionProgress {
        stable_end: Some(stable_end),
        end: None,
        committed: Some(committed),
        last_record_at: Some(at),
    };
    let mut report = LaneReport {
        partitions: vec![(tp(0), progress(100, 40, 7_000)), (tp(1), progress(9, 8, 1_000))],
        rtt_micros: 2_500,
        rebalances: 1,
        errors: 0,
    };
    metrics.lane("intake-0", "intake", &report, 10_000);
    expect![[r#"
        sightline_broker_rtt_seconds{stage="intake"} 0.0025
        sightline_consumer_lag_records{partition="0",topic="raw.a"} 60
        sightline_consumer_lag_records{partition="1",topic="raw.a"} 1
        sightline_consumer_lag_seconds{stage="intake"} 3
        sightline_partitions_assigned{stage="intake"} 2
        sightline_rebalances_total{stage="intake"} 1
    "#]]
    .assert_eq(&shown(&registry));
    report.partitions.remove(0);
    report.rebalances = 2;
    metrics.lane("intake-0", "intake", &report, 20_000);
    metrics.lane("intake-1", "intake", &LaneReport { rebalances: 5, ..LaneReport::default() }, 20_000);
    expect![[r#"
        sightline_broker_rtt_seconds{stage="intake"} 0.0025
        sightline_consumer_lag_records{partition="1",topic="raw.a"} 1
        sightline_partitions_assigned{stage="intake"} 1
        sightline_rebalances_total{stage="intake"} 7
    "#]]
    .assert_eq(&shown(&registry));
}

#[test]
fn transactions_and_reference_data_are_told_with_their_times() {
    let (registry, metrics) = metrics();
    metrics.transaction("intake", Transaction::Committed, 50, Duration::from_millis(4), 1_500);
    metrics.transaction("intake", Transaction::Unknown, 50, Duration::from_secs(40), 9_500);
    metrics.reference("geoip", Ok(Some(2_000)), 3_000);
    metrics.reference("geoip", Err(()), 4_000);
    let shown: String = shown(&registry)
        .lines()
        .filter(|line| !line.contains("_bucket"))
        .map(|line| format!("{line}\n"))
        .collect();
    expect![[r#"
        sightline_batch_records_sum{stage="intake"} 50
        sightline_batch_records_count{stage="intake"} 1
        sightline_last_commit_timestamp_seconds{stage="intake"} 1.5
        sightline_reference_build_timestamp_seconds{source="geoip"} 2
        sightline_reference_loaded_timestamp_seconds{source="geoip"} 3
        sightline_reference_reloads_total{result="failed",source="geoip"} 1
        sightline_reference_reloads_total{result="ok",source="geoip"} 1
        sightline_transaction_duration_seconds_sum{stage="intake"} 40.004
        sightline_transaction_duration_seconds_count{stage="intake"} 2
        sightline_transactions_total{result="committed",stage="intake"} 1
        sightline_transactions_total{result="unknown",stage="intake"} 1
    "#]]
    .assert_eq(&shown);
}

#[test]
fn names_and_labels() {
    let (registry, _metrics) = metrics();
    let families: String = registry
        .gather()
        .iter()
        .filter(|family| family.name().starts_with("sightline_"))
        .map(|family| {
            let labels: BTreeSet<&str> = family
                .get_metric()
                .iter()
                .flat_map(|metric| metric.get_label())
                .map(|label| label.name())
                .collect();
            let labels: Vec<&str> = labels.into_iter().collect();
            format!("{} {:?} {}\n", family.name(), family.get_field_type(), labels.join(","))
        })
        .collect();
    expect![[r#"
        sightline_batch_records HISTOGRAM stage
        sightline_brake_paused GAUGE topic
        sightline_broker_rtt_seconds GAUGE stage
        sightline_build_info GAUGE revision,version
        sightline_client_errors_total COUNTER stage
        sightline_consumer_lag_seconds GAUGE stage
        sightline_dead_letters_total COUNTER reason,stage
        sightline_disclosures_total COUNTER agreement,clause,outcome
        sightline_enrich_requests_total COUNTER enricher,result
        sightline_last_commit_timestamp_seconds GAUGE stage
        sightline_ledger_entries_total COUNTER agreement
        sightline_partitions_assigned GAUGE stage
        sightline_rebalances_total COUNTER stage
        sightline_records_consumed_total COUNTER stage,topic
        sightline_records_produced_total COUNTER stage,topic
        sightline_reference_build_timestamp_seconds GAUGE source
        sightline_reference_loaded_timestamp_seconds GAUGE source
        sightline_reference_reloads_total COUNTER result,source
        sightline_reporter_repeats_total COUNTER reporter
        sightline_sightings_total COUNTER stage,topic
        sightline_transaction_duration_seconds HISTOGRAM stage
        sightline_transactions_total COUNTER result,stage
        sightline_unknown_counts_total COUNTER 
        sightline_view_entries GAUGE stage
        sightline_view_restore_seconds HISTOGRAM stage
    "#]]
    .assert_eq(&families);
}
