//! Reads in an answer which model gave it and what was used, piece by piece. Nothing here knows
//! Envoy, and what is kept of an answer is bounded, whatever a server sends.
//!
//! The quotes of what a model says are escaped, so no text of its can look like a name here.

const std = @import("std");
const json = @import("json.zig");

const most_usage = 4096;
const most_held = 65536;
/// The longest text that `tell` writes.
pub const most_told = 2 * (most_usage + 1) + json.longest_logged + 100;

pub const Kind = enum { text, stream };

/// What of an answer was seen so far.
pub const Answer = struct {
    allocator: std.mem.Allocator,
    kind: Kind,
    /// Whether the caller does not want the event that only says what was used.
    is_forced: bool = false,
    has_begun: bool = false,
    events: u64 = 0,
    /// Of a stream the event that is not whole yet, of a text its last bytes.
    held: std.ArrayList(u8) = .empty,
    /// Up to where `held` was searched for the end of its event.
    searched: usize = 0,
    model: ?[]u8 = null,
    first: ?[]u8 = null,
    last: ?[]u8 = null,

    pub fn deinit(self: *Answer) void {
        self.held.deinit(self.allocator);
        for ([_]?[]u8{ self.model, self.first, self.last }) |each| {
            if (each) |text| self.allocator.free(text);
        }
    }

    /// Read the next piece; put into `kept` what a caller who did not ask for usage gets of it.
    pub fn read(self: *Answer, piece: []const u8, kept: *std.ArrayList(u8)) !void {
        self.has_begun = true;
        var text = piece;
        if (self.held.items.len > 0) {
            try self.held.appendSlice(self.allocator, piece);
            text = self.held.items;
        }
        const done = switch (self.kind) {
            .text => try self.readText(text),
            .stream => try self.readEvents(text, kept),
        };
        try self.hold(text[done..]);
    }

    /// Make `rest`, which may be a part of what is held, all that is held.
    fn hold(self: *Answer, rest: []const u8) !void {
        if (self.held.items.len == 0) return self.held.appendSlice(self.allocator, rest);
        std.mem.copyForwards(u8, self.held.items[0..rest.len], rest);
        self.held.shrinkRetainingCapacity(rest.len);
    }

    fn readText(self: *Answer, text: []const u8) !usize {
        try self.noteModel(text);
        _ = try self.noteUsage(text);
        // The object may not be whole yet.
        return text.len -| most_usage;
    }

    fn readEvents(self: *Answer, text: []const u8, kept: *std.ArrayList(u8)) !usize {
        var from: usize = 0;
        var searched = self.searched;
        while (afterEvent(text, searched)) |end| {
            try self.readEvent(text[from..end], kept);
            self.events += 1;
            from = end;
            searched = end;
        }
        const rest = text[from..];
        // The empty line that ends an event may have begun.
        self.searched = rest.len -| 2;
        if (rest.len <= most_held) return from;
        try self.keep(rest, kept);
        self.searched = 0;
        return text.len;
    }

    fn readEvent(self: *Answer, event: []const u8, kept: *std.ArrayList(u8)) !void {
        try self.noteModel(event);
        const says_usage = try self.noteUsage(event);
        if (!says_usage or !hasNoChoices(event)) try self.keep(event, kept);
    }

    fn keep(self: *Answer, event: []const u8, kept: *std.ArrayList(u8)) !void {
        if (self.is_forced) try kept.appendSlice(self.allocator, event);
    }

    /// Read what is left of a stream when nothing more comes: no empty line may end it.
    pub fn finish(self: *Answer, kept: *std.ArrayList(u8)) !void {
        if (self.kind == .text or self.held.items.len == 0) return;
        try self.readEvent(self.held.items, kept);
        self.held.clearRetainingCapacity();
    }

    fn noteModel(self: *Answer, text: []const u8) !void {
        if (self.model != null) return;
        const name = modelIn(text) orelse return;
        var room: [json.longest_logged]u8 = undefined;
        self.model = try self.allocator.dupe(u8, json.logged(&room, name));
    }

    /// Keep the objects named usage; tell whether there was one.
    fn noteUsage(self: *Answer, text: []const u8) !bool {
        const found = usagesIn(text);
        if (self.first == null and self.kind == .stream) {
            if (found.first) |each| self.first = try self.allocator.dupe(u8, each);
        }
        const last = try self.allocator.dupe(u8, found.last orelse return false);
        if (self.last) |each| self.allocator.free(each);
        self.last = last;
        return true;
    }

    /// Write what was seen: one text of JSON, or nothing where there is nothing to say.
    pub fn tell(self: *const Answer, room: *[most_told]u8) ?[]const u8 {
        var writer = std.Io.Writer.fixed(room);
        self.write(&writer) catch return null;
        if (writer.end == 0) return null;
        room[0] = '{';
        return writer.buffered();
    }

    fn write(self: *const Answer, writer: *std.Io.Writer) !void {
        if (!self.has_begun or (self.kind == .text and self.last == null)) return;
        if (self.model) |each| try writer.print(",\"answered\":\"{s}\"", .{each});
        if (self.last) |each| try writer.print(",\"usage\":{s}", .{each});
        if (self.first) |each| {
            const is_other = !std.mem.eql(u8, each, self.last orelse "");
            if (is_other) try writer.print(",\"usage_first\":{s}", .{each});
        }
        if (self.kind == .stream) try writer.print(",\"events\":{d}", .{self.events});
        try writer.writeByte('}');
    }
};

/// Return the place after the empty line that ends an event; what is before `from` has none.
fn afterEvent(text: []const u8, from: usize) ?usize {
    var at = from;
    while (std.mem.indexOfScalarPos(u8, text, at, '\n')) |hit| : (at = hit + 1) {
        const rest = text[hit + 1 ..];
        if (std.mem.startsWith(u8, rest, "\n")) return hit + 2;
        if (std.mem.startsWith(u8, rest, "\r\n")) return hit + 3;
    }
    return null;
}

/// Tell whether there are no choices, as in the event that only says what was used.
fn hasNoChoices(event: []const u8) bool {
    var from: usize = 0;
    while (std.mem.indexOfPos(u8, event, from, "\"choices\"")) |hit| {
        from = hit + 9;
        const value = json.afterMark(event, from, ':') orelse continue;
        const inside = json.afterMark(event, value, '[') orelse continue;
        if (json.afterMark(event, inside, ']') != null) return true;
    }
    return false;
}

/// Return the model that an answer names.
fn modelIn(text: []const u8) ?[]const u8 {
    const hit = std.mem.indexOf(u8, text, "\"model\"") orelse return null;
    const value = json.afterMark(text, hit + 7, ':') orelse return null;
    const begin = json.afterMark(text, value, '"') orelse return null;
    const end = std.mem.indexOfAnyPos(u8, text, begin, "\"\\") orelse return null;
    return if (text[end] == '"') text[begin..end] else null;
}

const Usages = struct { first: ?[]const u8, last: ?[]const u8 };

/// Return the first and the last object named usage.
fn usagesIn(text: []const u8) Usages {
    var first: ?usize = null;
    var last: ?usize = null;
    var from: usize = 0;
    while (std.mem.indexOfPos(u8, text, from, "\"usage\"")) |hit| {
        from = hit + 7;
        if (hit > 0 and text[hit - 1] == '\\') continue;
        const value = json.afterMark(text, from, ':') orelse continue;
        const inside = json.afterMark(text, value, '{') orelse continue;
        last = inside - 1;
        first = first orelse last;
    }
    return .{ .first = objectAt(text, first), .last = objectAt(text, last) };
}

/// Return the object that begins there, where it is whole and not too large.
fn objectAt(text: []const u8, begin: ?usize) ?[]const u8 {
    const from = begin orelse return null;
    const window = text[from..@min(text.len, from + most_usage + 1)];
    return window[0 .. json.afterValue(window, 0) orelse return null];
}
