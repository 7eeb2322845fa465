//! Follows a stream of events, in whatever pieces it comes: where lines and events end, and which
//! bytes of them are data. As the standard says, a line ends with CR, LF or both.

const std = @import("std");
const json = @import("json.zig");

const field = "data";

/// The next bytes. `end`: with them an event ends. `late`: of the end of the event before.
pub const Part = struct { kind: enum { data, other, end, late }, length: usize = 1 };

pub const Events = struct {
    place: enum { name, data, rest } = .name,
    /// How many bytes of the line are those of `field`.
    named: usize = 0,
    after_return: bool = false,
    /// Of the event so far: its bytes, how many fields of data it has, and where the last one is.
    size: usize = 0,
    fields: usize = 0,
    last: json.Span = .{ .from = 0, .to = 0 },

    /// Return what the text, which is not empty, begins with.
    pub fn next(self: *Events, text: []const u8) Part {
        const each = text[0];
        const is_second = each == '\n' and self.after_return;
        self.after_return = each == '\r';
        if (is_second and self.size == 0) return .{ .kind = .late };
        const found: Part = if (is_second)
            .{ .kind = .other }
        else if (each == '\r' or each == '\n')
            self.endLine()
        else
            self.inLine(text);
        self.size += found.length;
        return found;
    }

    /// Begin with another event.
    pub fn begin(self: *Events) void {
        self.* = .{ .after_return = self.after_return };
    }

    /// Return where in the event its only field of data is, where it has just one.
    pub fn only(self: *const Events) ?json.Span {
        // A line may end with the stream.
        const is_named = self.place == .name and self.named == field.len;
        return if (self.fields == 1 and !is_named) self.last else null;
    }

    fn endLine(self: *Events) Part {
        defer {
            self.place = .name;
            self.named = 0;
        }
        switch (self.place) {
            .rest => return .{ .kind = .other },
            // Fields of data are joined by the ends of their lines.
            .data => return .{ .kind = .data },
            .name => {
                if (self.named == 0) return .{ .kind = .end };
                if (self.named == field.len) self.beginData();
                return .{ .kind = .other };
            },
        }
    }

    fn inLine(self: *Events, text: []const u8) Part {
        switch (self.place) {
            .name => {
                if (self.named == field.len and text[0] == ':') {
                    self.beginData();
                    self.place = .data;
                } else if (self.named < field.len and text[0] == field[self.named]) {
                    self.named += 1;
                } else self.place = .rest;
                return .{ .kind = .other };
            },
            .data, .rest => {},
        }
        const length = std.mem.indexOfAny(u8, text, "\r\n") orelse text.len;
        if (self.place == .rest) return .{ .kind = .other, .length = length };
        self.last.to = self.size + length;
        return .{ .kind = .data, .length = length };
    }

    /// Note a field that is empty yet.
    fn beginData(self: *Events) void {
        self.fields += 1;
        const after = self.size + 1;
        self.last = .{ .from = after, .to = after };
    }
};
