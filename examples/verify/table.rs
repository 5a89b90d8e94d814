//! The results, for people and for programs.

use cloison_sandbox::Tier;
use serde_json::json;

use crate::run::{Row, Stage};

/// Prints the report, the rows that did not hold (or all), and the verdict.
pub fn print(stage: &Stage, rows: &[Row], all: bool) {
    print!("{:#}", stage.report());
    println!();
    println!("{:<18} {:<26} {:<17} {:<44} {:<18} verdict", "group", "probe", "wanted", "happened", "stopped by");
    for row in rows.iter().filter(|row| all || !row.held) {
        let Row { group, name, wanted, happened, stopped_by, held } = row;
        let verdict = if *held { "ok" } else { "NOT HELD" };
        println!("{group:<18} {name:<26} {wanted:<17} {happened:<44} {stopped_by:<18} {verdict}");
    }
    let held = rows.iter().filter(|row| row.held).count();
    println!("\n{held} of {} hold, in tier {}", rows.len(), stage.report().tier);
    if stage.report().tier == Tier::Off {
        println!("NOTHING IS CONFINED: this is what an unconfined worker reaches");
    }
}

/// Prints everything as one JSON object.
pub fn json(stage: &Stage, rows: &[Row]) {
    let layers: Vec<_> = stage
        .report()
        .layers
        .iter()
        .map(|(layer, standing)| json!({ "layer": layer.name(), "standing": standing.to_string() }))
        .collect();
    let probes: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "group": row.group, "probe": row.name, "wanted": row.wanted, "happened": row.happened,
                "stopped_by": row.stopped_by, "held": row.held,
            })
        })
        .collect();
    let held = rows.iter().all(|row| row.held);
    println!(
        "{}",
        json!({ "tier": stage.report().tier.to_string(), "layers": layers, "probes": probes, "held": held })
    );
}
