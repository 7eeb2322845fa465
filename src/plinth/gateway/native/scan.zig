//! Follows one text of JSON, in whatever pieces it comes, and takes the model and the usage out of
//! it: members of the answer itself, or of its `response` or `message`. What stands deeper is what
//! a model or a tool says, whatever it looks like. What is kept of it all is bounded.

const std = @import("std");
const json = @import("json.zig");

pub const most_usage = 4096;

/// What was found; it is gone with the next step.
pub const Found = union(enum) { model: []const u8, usage: []const u8 };

const Key = enum { model, usage, response, message, other };

const ends_of_texts = marks("\"\\");
const brackets_and_quotes = marks("\"{}[]");

fn marks(comptime each: []const u8) [256]bool {
    var found: [256]bool = @splat(false);
    for (each) |mark| found[mark] = true;
    return found;
}

pub const Scan = struct {
    /// What comes next where members are looked at; `nothing`: this is no object that can be read.
    next: enum { object, name, colon, value, comma, nothing } = .object,
    depth: usize = 0,
    /// Whether the object at depth 2 is one whose members are looked at.
    is_inner: bool = false,
    key: Key = .other,
    text: enum { none, name, model, other } = .none,
    is_escaped: bool = false,
    /// The depth within a usage that is being kept, or 0.
    usage: usize = 0,
    /// Of a name, a model or a usage. One byte more than a usage may have tells that it is larger.
    kept: std.ArrayList(u8) = .empty,

    pub fn deinit(self: *Scan, allocator: std.mem.Allocator) void {
        self.kept.deinit(allocator);
    }

    /// Begin with another text.
    pub fn begin(self: *Scan) void {
        self.kept.clearRetainingCapacity();
        self.* = .{ .kept = self.kept };
    }

    /// Go on up to what is found next, and move `at` behind it; null at the text's end.
    pub fn find(
        self: *Scan,
        allocator: std.mem.Allocator,
        text: []const u8,
        at: *usize,
    ) !?Found {
        while (true) {
            at.* = self.skip(text, at.*);
            if (at.* == text.len) return null;
            const each = text[at.*];
            at.* += 1;
            const is_of_text = self.text == .name or self.text == .model;
            if ((is_of_text or self.usage > 0) and self.kept.items.len <= most_usage) {
                try self.kept.append(allocator, each);
            }
            if (self.step(each)) |found| return found;
        }
    }

    /// Return the place of the next byte that tells anything.
    fn skip(self: *const Scan, text: []const u8, from: usize) usize {
        if (self.next == .nothing) return text.len;
        if (self.is_escaped or self.usage > 0) return from;
        const told = switch (self.text) {
            .name, .model => return from,
            .other => &ends_of_texts,
            .none => if (self.looks()) return from else &brackets_and_quotes,
        };
        var at = from;
        while (at < text.len and !told[text[at]]) at += 1;
        return at;
    }

    /// Tell whether it is at members that are looked at.
    fn looks(self: *const Scan) bool {
        if (self.usage > 0) return false;
        return self.depth <= 1 or (self.depth == 2 and self.is_inner);
    }

    fn step(self: *Scan, each: u8) ?Found {
        if (self.text != .none) return self.inText(each);
        switch (each) {
            '"' => self.beginText(),
            '{', '[' => self.open(each == '{'),
            '}', ']' => return self.close(each == '}'),
            ' ', '\t', '\r', '\n' => {},
            // A mark of byte order may stand before all.
            0xEF, 0xBB, 0xBF => if (self.depth > 0 and self.looks()) {
                self.next = .nothing;
            },
            else => if (self.looks()) {
                self.next = switch (each) {
                    ':' => if (self.next == .colon) .value else .nothing,
                    ',' => if (self.next == .comma) .name else .nothing,
                    else => switch (self.next) {
                        // Of a number, or a word like `null`.
                        .value, .comma => .comma,
                        else => .nothing,
                    },
                };
            },
        }
        return null;
    }

    fn beginText(self: *Scan) void {
        self.text = .other;
        if (!self.looks()) return;
        self.kept.clearRetainingCapacity();
        switch (self.next) {
            .name => self.text = .name,
            .value => if (self.key == .model) {
                self.text = .model;
            },
            else => self.next = .nothing,
        }
    }

    fn inText(self: *Scan, each: u8) ?Found {
        if (self.is_escaped or each != '"') {
            self.is_escaped = each == '\\' and !self.is_escaped;
            return null;
        }
        const ended = self.text;
        self.text = .none;
        if (!self.looks()) return null;
        self.next = if (ended == .name) .colon else .comma;
        if (ended == .other) return null;
        // Without the quote that ended it. What was too long to be kept is no name of ours.
        const text = self.kept.items[0 .. self.kept.items.len - 1];
        if (ended == .name) {
            self.key = std.meta.stringToEnum(Key, text) orelse .other;
            return null;
        }
        return if (std.mem.indexOfScalar(u8, text, '\\') == null) .{ .model = text } else null;
    }

    fn open(self: *Scan, is_object: bool) void {
        const looked = self.looks();
        self.depth += 1;
        if (!looked) return;
        if (self.depth == 1 and self.next == .object and is_object) {
            self.next = .name;
        } else if (self.depth == 1 or self.next != .value) {
            self.next = .nothing;
        } else if (is_object and self.key == .usage) {
            self.usage = self.depth;
            self.kept.clearRetainingCapacity();
            self.kept.appendAssumeCapacity('{');
        } else if (is_object and self.depth == 2) {
            self.is_inner = self.key == .response or self.key == .message;
            if (self.is_inner) self.next = .name;
        }
    }

    fn close(self: *Scan, is_object: bool) ?Found {
        if (self.depth == 0 or (self.looks() and !is_object)) {
            self.next = .nothing;
            return null;
        }
        self.depth -= 1;
        const is_whole = self.usage > 0 and self.depth < self.usage;
        if (is_whole) self.usage = 0;
        if (self.depth == 1) self.is_inner = false;
        if (self.looks()) self.next = if (self.depth == 0) .nothing else .comma;
        if (!is_whole) return null;
        const text = self.kept.items;
        const is_read = text.len <= most_usage and json.afterValue(text, 0) == text.len;
        return if (is_read) .{ .usage = text } else null;
    }
};
