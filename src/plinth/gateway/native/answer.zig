//! Reads in an answer which model gave it and what was used, piece by piece. Nothing here knows
//! Envoy, and what is kept of an answer is bounded, whatever a server sends.

const std = @import("std");
const Events = @import("events.zig").Events;
const json = @import("json.zig");
const Scan = @import("scan.zig").Scan;
const most_usage = @import("scan.zig").most_usage;

const most_held = 65536;
/// The longest text that `tell` writes.
pub const most_told = 2 * (most_usage + 1) + json.longest_logged + 100;

pub const Kind = enum { text, stream };

/// What the event has that only says what was used. With anything else in it, it says more.
const UsageOnly = enum {
    id,
    object,
    created,
    model,
    system_fingerprint,
    service_tier,
    obfuscation,
    choices,
    usage,
};

/// What of an answer was seen so far.
pub const Answer = struct {
    allocator: std.mem.Allocator,
    kind: Kind,
    /// Whether the caller does not want the event that only says what was used.
    is_forced: bool = false,
    has_begun: bool = false,
    events: u64 = 0,
    /// Of a stream that is forced the event that is not whole yet.
    held: std.ArrayList(u8) = .empty,
    /// Whether the event is too large to be held, and so is passed on.
    is_passed: bool = false,
    /// Whether the last event was kept from the caller.
    is_hidden: bool = false,
    lines: Events = .{},
    scan: Scan = .{},
    model: ?[]u8 = null,
    first: ?[]u8 = null,
    last: ?[]u8 = null,

    pub fn deinit(self: *Answer) void {
        self.held.deinit(self.allocator);
        self.scan.deinit(self.allocator);
        for ([_]?[]u8{ self.model, self.first, self.last }) |each| {
            if (each) |text| self.allocator.free(text);
        }
    }

    /// Read the next piece; put into `kept` what a caller who did not ask for usage gets of it.
    pub fn read(self: *Answer, piece: []const u8, kept: *std.ArrayList(u8)) !void {
        self.has_begun = true;
        if (self.kind == .text) return self.look(piece);
        var from: usize = 0;
        var at: usize = 0;
        while (at < piece.len) {
            const part = self.lines.next(piece[at..]);
            const begin = at;
            at += part.length;
            switch (part.kind) {
                .other => {},
                .data => try self.look(piece[begin..at]),
                .end => {
                    try self.hold(piece[from..at], kept);
                    if (self.lines.fields > 0) self.events += 1;
                    try self.endEvent(kept);
                    from = at;
                },
                .late => {
                    if (self.is_forced and !self.is_hidden) try self.keep(piece[begin..at], kept);
                    from = at;
                },
            }
        }
        try self.hold(piece[from..], kept);
    }

    /// Keep a part of an event until it is whole, or pass on what is too large for that.
    fn hold(self: *Answer, text: []const u8, kept: *std.ArrayList(u8)) !void {
        if (!self.is_forced) return;
        if (self.held.items.len + text.len > most_held) self.is_passed = true;
        if (!self.is_passed) return self.held.appendSlice(self.allocator, text);
        try self.keep(self.held.items, kept);
        self.held.clearRetainingCapacity();
        try self.keep(text, kept);
    }

    fn keep(self: *Answer, text: []const u8, kept: *std.ArrayList(u8)) !void {
        try kept.appendSlice(self.allocator, text);
    }

    fn endEvent(self: *Answer, kept: *std.ArrayList(u8)) !void {
        self.is_hidden = self.is_forced and !self.is_passed and self.saysUsageOnly();
        if (!self.is_hidden) try self.keep(self.held.items, kept);
        self.held.clearRetainingCapacity();
        self.is_passed = false;
        self.lines.begin();
        self.scan.begin();
    }

    /// Tell whether the event that is held is the one that we had asked for.
    fn saysUsageOnly(self: *const Answer) bool {
        const text = (self.lines.only() orelse return false).of(self.held.items);
        const members = switch (json.read(UsageOnly, text)) {
            .members => |members| members,
            .problem => return false,
        };
        var known: usize = 0;
        for (std.enums.values(UsageOnly)) |name| {
            if (members.values.get(name) != null) known += 1;
        }
        const usage = members.raw(text, .usage) orelse return false;
        const choices = members.raw(text, .choices) orelse return false;
        return known == members.count and usage[0] == '{' and isNothing(choices);
    }

    /// Read what is left of a stream when nothing more comes: no empty line may end it.
    pub fn finish(self: *Answer, kept: *std.ArrayList(u8)) !void {
        if (self.kind == .stream) try self.endEvent(kept);
    }

    /// Keep what a part of the data says.
    fn look(self: *Answer, text: []const u8) !void {
        var at: usize = 0;
        while (try self.scan.find(self.allocator, text, &at)) |found| switch (found) {
            .model => |name| try self.noteModel(name),
            .usage => |usage| try self.noteUsage(usage),
        };
    }

    fn noteModel(self: *Answer, name: []const u8) !void {
        if (self.model != null) return;
        var room: [json.longest_logged]u8 = undefined;
        self.model = try self.allocator.dupe(u8, json.logged(&room, name));
    }

    fn noteUsage(self: *Answer, usage: []const u8) !void {
        if (self.first == null and self.kind == .stream) {
            self.first = try self.allocator.dupe(u8, usage);
        }
        const last = try self.allocator.dupe(u8, usage);
        if (self.last) |each| self.allocator.free(each);
        self.last = last;
    }

    /// Write what was seen: one text of JSON, or nothing where there is nothing to say.
    pub fn tell(self: *const Answer, room: *[most_told]u8) ?[]const u8 {
        var writer = std.Io.Writer.fixed(room);
        self.write(&writer) catch return null;
        if (writer.end == 0) return null;
        room[0] = '{';
        // The log has one line for each request, and signs between its fields: a server may write
        // its object over many lines. Within texts JSON has no such characters.
        for (writer.buffered()) |*each| {
            if (each.* < ' ') each.* = ' ';
        }
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

/// Tell whether a value is an empty list or null.
fn isNothing(value: []const u8) bool {
    if (std.mem.eql(u8, value, "null")) return true;
    if (value[0] != '[') return false;
    const end = json.afterMark(value, 1, ']') orelse return false;
    return end == value.len;
}
