//! The display: a block of lines that is written over again on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};

pub struct Screen {
    terminal: bool,
    lines: usize,
}

impl Default for Screen {
    fn default() -> Self {
        Screen { terminal: std::io::stdout().is_terminal(), lines: 0 }
    }
}

impl Screen {
    /// Whether lines can be written over.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows a block in place of the one before; without a terminal, only its first line.
    pub fn show(&mut self, block: &[String]) {
        let mut out = std::io::stdout().lock();
        let text = if self.terminal {
            let up = if self.lines > 0 { format!("\x1b[{}A", self.lines) } else { String::new() };
            let body: String = block.iter().map(|line| format!("\x1b[2K{line}\n")).collect();
            self.lines = block.len();
            up + &body
        } else {
            block.first().map_or(String::new(), |line| format!("{line}\n"))
        };
        // A closed pipe ends the display, not the demo.
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.lines = 0;
        }
    }
}
