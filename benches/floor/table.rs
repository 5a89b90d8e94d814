//! Rows measured in turn, side by side for each placement.

use std::time::Duration;

use super::stats::{Round, median};
use super::{Placement, Row, Running, pin};

/// How often every row has its turn. Ratios are taken within a turn, so that slow minutes of a shared machine hit both
/// sides alike; what is printed is the median of all turns.
const ROUNDS: usize = 25;
/// How long a row's turn takes, about.
const TURN: Duration = Duration::from_millis(40);
/// Fewest calls in a turn.
const CALLS_MIN: usize = 20;
/// Most calls in a turn.
const CALLS_MAX: usize = 10_000;

/// What was measured.
pub struct Table {
    title: &'static str,
    rows: Vec<Row>,
    /// For each placement, for each row, its rounds.
    columns: Vec<(Placement, Vec<Vec<Round>>)>,
}

/// Measures `rows`, on one core and on two. Run by anything but `cargo bench`, it only tries each of them. After
/// `-- --only TEXT` those of which the name has that text, and their floors.
pub fn measure(title: &'static str, rows: &[Row]) -> Table {
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    let rows = wanted(rows);
    let column = |placement| (placement, measure_column(&rows, placement, rounds));
    let columns = Placement::all().into_iter().map(column).collect();
    Table { title, rows, columns }
}

fn wanted(rows: &[Row]) -> Vec<Row> {
    let Some(text) = std::env::args().skip_while(|arg| arg != "--only").nth(1) else { return rows.to_vec() };
    let chosen: Vec<_> = rows.iter().filter(|row| row.name.contains(&text)).collect();
    let is_floor = |row: &Row| chosen.iter().any(|chosen| chosen.against == Some(row.name));
    rows.iter().filter(|row| row.name.contains(&text) || is_floor(row)).cloned().collect()
}

fn measure_column(rows: &[Row], placement: Placement, rounds: usize) -> Vec<Vec<Round>> {
    pin(None, placement.core(0));
    // Filled and emptied again and again, so that it causes no page fault while a row is measured.
    let mut took = vec![Duration::ZERO; CALLS_MAX];
    let mut running: Vec<_> = rows.iter().map(|row| (row.start)(placement)).collect();
    let calls: Vec<_> = running.iter_mut().map(|row| calls_in_a_turn(row, &mut took)).collect();
    let mut measured = vec![Vec::with_capacity(rounds); rows.len()];
    for _ in 0..rounds {
        for ((row, &calls), measured) in running.iter_mut().zip(&calls).zip(&mut measured) {
            let before = row.page_faults();
            row.call(calls, &mut took);
            measured.push(Round::of(&mut took, row.page_faults() - before));
        }
    }
    measured
}

/// Warms a row up, and finds out how many of its calls fill a turn.
fn calls_in_a_turn(row: &mut Running, took: &mut Vec<Duration>) -> usize {
    row.call(CALLS_MIN, took);
    let total: Duration = took.iter().sum();
    let calls = TURN.as_nanos() * CALLS_MIN as u128 / total.as_nanos().max(1);
    usize::try_from(calls).unwrap_or(CALLS_MAX).clamp(CALLS_MIN, CALLS_MAX)
}

impl Table {
    /// Prints it.
    pub fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        println!("\n{}", self.title);
        print!("{:28}", "");
        for (placement, _) in &self.columns {
            print!(" │ {:>9} p50       p99    ratio  faults", placement.to_string());
        }
        println!();
        for (index, row) in self.rows.iter().enumerate() {
            print!("{:28}", row.name);
            for (_, measured) in &self.columns {
                let rounds = &measured[index];
                let p50 = median(rounds.iter().map(|round| micros(round.p50)));
                let p99 = median(rounds.iter().map(|round| micros(round.p99)));
                let faults = median(rounds.iter().map(|round| round.faults));
                print!(" │ {p50:>10.2} µs {p99:>7.2} µs {:>8} {faults:>6.2}", self.ratio(row, rounds, measured));
            }
            println!("{}", row.against.map(|floor| format!("  of {floor}")).unwrap_or_default());
        }
    }

    fn ratio(&self, row: &Row, rounds: &[Round], measured: &[Vec<Round>]) -> String {
        let Some(floor) = row.against else { return String::new() };
        let floor = self.rows.iter().position(|other| other.name == floor).expect("the floor is in the same table");
        let ratios = rounds.iter().zip(&measured[floor]).map(|(round, floor)| micros(round.p50) / micros(floor.p50));
        format!("{:.2} ×", median(ratios))
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
