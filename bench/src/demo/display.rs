//! The live display: a screen that is drawn anew on a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use trickle_bench::{grouped, millis, Times};
use trickle_regress::Session;

use crate::replay::Progress;

pub struct Display {
    terminal: bool,
    started: Instant,
    drawn: Option<(Instant, u64)>,
    height: usize,
}

const STATE: &str = "SELECT split_part(name, '.', 2), status, effective_mode, refreshes, rows_changed_last_cycle,
    round(avg_refresh_ms::numeric, 2), pending_change_rows FROM pgtrickle.stream_table_status() ORDER BY name";

impl Display {
    pub fn new() -> Display {
        Display { terminal: std::io::stdout().is_terminal(), started: Instant::now(), drawn: None, height: 0 }
    }

    /// How long the display stays as it is.
    pub fn pause(&self) -> Duration {
        if self.terminal {
            Duration::from_millis(500)
        } else {
            Duration::from_secs(3)
        }
    }

    pub fn draw(&mut self, session: &mut Session, progress: &Progress, recent: &Times) {
        let now = Instant::now();
        let rows = progress.rows.load(Ordering::Relaxed);
        let rate = self.drawn.map_or(0.0, |(then, before)| (rows - before) as f64 / (now - then).as_secs_f64());
        self.drawn = Some((now, rows));
        let clock = session.value(&format!(
            "SELECT to_char(min(at) + {} * interval '1 minute', 'YYYY-MM-DD HH24:MI') FROM replay.events",
            progress.minute.load(Ordering::Relaxed)
        ));
        let head = format!(
            "{:3.0} s  {clock}  {:>7} rows  {:>6}/s  commit to visible: p50 {}, p99 {}",
            self.started.elapsed().as_secs_f64(),
            grouped(rows),
            grouped(rate as u64),
            millis(recent.percentile(50)),
            millis(recent.percentile(99)),
        );
        if !self.terminal {
            let changing = session.rows("SELECT string_agg(split_part(name, '.', 2) || ' +' || rows_changed_last_cycle, ', ' ORDER BY rows_changed_last_cycle DESC) FROM pgtrickle.stream_table_status() WHERE rows_changed_last_cycle > 0");
            println!("{head}\n       last refreshes: {}", changing[0][0].as_deref().unwrap_or("none yet"));
            return;
        }
        let mut lines = vec![
            head,
            String::new(),
            format!(
                "{:16}{:>9}{:>12}{:>14}{:>15}",
                "stream table", "status", "refreshes", "rows changed", "mean refresh"
            ),
        ];
        for row in session.rows(STATE) {
            let text = |at: usize| row[at].as_deref().unwrap_or("");
            lines.push(format!("{:16}{:>9}{:>12}{:>14}{:>12} ms", text(0), text(1), text(3), text(4), text(5)));
        }
        lines.extend([String::new(), "SELECT * FROM league ORDER BY late_percent DESC LIMIT 6".to_string()]);
        let league = "SELECT airline, flights, late_percent, mean_delay FROM league ORDER BY late_percent DESC LIMIT 6";
        for row in session.rows(league) {
            let text = |at: usize| row[at].as_deref().unwrap_or("");
            lines.push(format!("  {:28}{:>8} flights{:>7} % late{:>8} min", text(0), text(1), text(2), text(3)));
        }
        lines.push(format!("in the air: {}", session.value("SELECT count(*) FROM in_the_air")));
        // Up to where the last screen began, and over it.
        let mut screen = String::new();
        if self.height > 0 {
            screen.push_str(&format!("\x1b[{}A", self.height));
        }
        for line in &lines {
            screen.push_str(&format!("\x1b[2K{line}\n"));
        }
        screen.push_str("\x1b[J");
        self.height = lines.len();
        let mut out = std::io::stdout().lock();
        if out.write_all(screen.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.terminal = false;
        }
    }
}
