//! One line of a chart as a row of characters: lifelines, texts beside them, arrows between them.

/// Characters for the time at the left.
const TIME_WIDTH: usize = 12;
/// Characters for what clients do, at the right.
const CLIENT_WIDTH: usize = 18;
/// The narrowest column of a replica.
const COLUMN_WIDTH_MIN: usize = 7;

/// How a lifeline looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    Leading,
    Paused,
    Down,
}

impl Life {
    const fn symbol(self) -> char {
        match self {
            Self::Running => '│',
            Self::Leading => '┃',
            Self::Paused => '┊',
            Self::Down => ' ',
        }
    }
}

/// Where the columns are.
pub(super) struct Layout {
    /// Nodes that have a column, with the names above them.
    names: Vec<(usize, String)>,
    column_width: usize,
}

impl Layout {
    pub(super) fn new(width: usize, names: Vec<(usize, String)>) -> Self {
        let free = width.saturating_sub(TIME_WIDTH + CLIENT_WIDTH);
        let column_width = (free / names.len().max(1)).max(COLUMN_WIDTH_MIN);
        Self { names, column_width }
    }

    /// The column of a node, if it has one.
    pub(super) fn column(&self, node: usize) -> Option<usize> {
        self.names.iter().position(|(shown, _)| *shown == node)
    }

    /// How many characters of text fit beside a lifeline.
    pub(super) const fn room(&self) -> usize {
        self.column_width - 3
    }

    /// Where the lifeline of a column is.
    const fn at(&self, column: usize) -> usize {
        column * self.column_width
    }

    fn width(&self) -> usize {
        self.at(self.names.len()) + CLIENT_WIDTH
    }

    /// How many characters fit into a line that concerns everyone.
    pub(super) fn width_of_world(&self) -> usize {
        self.width() - 6
    }

    /// A line with nothing but lifelines.
    pub(super) fn line(&self, lives: &[Life]) -> Vec<char> {
        let mut cells = vec![' '; self.width()];
        for (column, (node, _)) in self.names.iter().enumerate() {
            cells[self.at(column)] = lives[*node].symbol();
        }
        cells
    }

    /// Writes beside a lifeline.
    pub(super) fn text(&self, cells: &mut [char], column: usize, text: &str) {
        write(cells, self.at(column) + 2, self.room(), text);
    }

    /// Writes into the clients' column.
    pub(super) fn client(&self, cells: &mut [char], text: &str) {
        write(cells, self.at(self.names.len()) + 1, CLIENT_WIDTH - 1, text);
    }

    /// A line that concerns everyone.
    pub(super) fn world(&self, text: &str) -> Vec<char> {
        let mut cells = vec!['═'; self.width()];
        write(&mut cells, 2, self.width_of_world() + 2, &format!(" {text} "));
        cells
    }

    /// Draws an arrow with its label on it; beside it, where the arrow is too short.
    pub(super) fn arrow(
        &self,
        cells: &mut [char],
        source: usize,
        target: usize,
        label: &str,
        sent: &str,
    ) {
        let (start, end) = (self.at(source), self.at(target));
        let (left, right) = (start.min(end), start.max(end));
        for cell in &mut cells[left + 1..right] {
            *cell = if *cell == ' ' { '─' } else { '┼' };
        }
        cells[start] = if source < target { '├' } else { '┤' };
        let head = if source < target { right - 1 } else { left + 1 };
        cells[head] = if source < target { '▶' } else { '◀' };
        // A dash and a space at both ends of the label, beside the head.
        let room = right - left - 6;
        let full = format!("{label} {sent}");
        let fits = |text: &str| text.chars().count() <= room;
        let on_it = if fits(&full) { &full } else { label };
        if !fits(on_it) && label.chars().count() <= self.room() {
            let column = source.max(target);
            return self.text(cells, column, label);
        }
        let text = format!(" {} ", shorten(on_it, room));
        let middle = left + 1 + (right - left - 1 - text.chars().count()) / 2;
        write(cells, middle, room + 2, &text);
    }

    /// The names above the columns.
    pub(super) fn heading(&self) -> String {
        let mut cells = vec![' '; self.width()];
        for (column, (_, name)) in self.names.iter().enumerate() {
            write(&mut cells, self.at(column), self.column_width, name);
        }
        self.client(&mut cells, "clients");
        self.finish("time ms", &cells)
    }

    /// The line with its time in front.
    pub(super) fn finish(&self, time: &str, cells: &[char]) -> String {
        let line: String = cells.iter().collect();
        let width = TIME_WIDTH - 2;
        format!("{time:>width$}  {line}").trim_end().to_owned()
    }
}

/// Writes `text` from `start` on, at most `room` characters of it.
fn write(cells: &mut [char], start: usize, room: usize, text: &str) {
    let text = shorten(text, room);
    for (cell, character) in cells[start..].iter_mut().zip(text.chars()) {
        *cell = character;
    }
}

/// The text, or its beginning with an ellipsis.
fn shorten(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Breaks `text` at spaces into at most `lines_max` parts of at most `width` characters.
pub(super) fn wrap(text: &str, width: usize, lines_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let used = lines[last].chars().count();
        if used > 0 && used + 1 + word.chars().count() > width && lines.len() < lines_max {
            lines.push(String::new());
        } else if used > 0 {
            lines[last].push(' ');
        }
        let last = lines.len() - 1;
        lines[last].push_str(word);
    }
    lines.iter().map(|line| shorten(line, width)).collect()
}
