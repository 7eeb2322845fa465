//! Who may use a route, as its settings say in lines of a word and names. Nothing here knows Envoy.
//!
//! `gate.py` writes them. What names nobody lets nobody in.

const std = @import("std");

pub const longest_reason = 32;
const longest_member = 512;

pub const Error = error{ OutOfMemory, Unreadable };

const Word = enum { anybody, everybody, runs, @"no-runs", principals, teams, in, most, otherwise };

/// Who calls, as a verified key says. `is_run`: its principal is a run.
pub const Caller = struct { principal: []const u8, team: []const u8, is_run: bool };

/// The largest body that is taken, and what a larger one is called.
pub const Most = struct { bytes: u64, name: []const u8 };

/// The rules of one route.
pub const Rules = struct {
    /// Also without a key; who sends one is not asked whether it counts.
    anybody: bool = false,
    everybody: bool = false,
    runs: bool = false,
    no_runs: bool = false,
    principals: std.StringHashMapUnmanaged(void) = .empty,
    teams: std.StringHashMapUnmanaged(void) = .empty,
    /// Principals that count with a key of one team alone, each behind the name of that team.
    members: std.StringHashMapUnmanaged(void) = .empty,
    most: ?Most = null,
    /// What it is called when they let nobody in.
    otherwise: []const u8 = "none",
    room: std.heap.ArenaAllocator,

    /// Read the rules in a text. Error.Unreadable: it is none, and must not be half understood.
    pub fn read(allocator: std.mem.Allocator, text: []const u8) Error!Rules {
        var rules: Rules = .{ .room = .init(allocator) };
        errdefer rules.deinit();
        const kept = try rules.room.allocator().dupe(u8, text);
        var lines = std.mem.tokenizeScalar(u8, kept, '\n');
        while (lines.next()) |line| try rules.readLine(line);
        return rules;
    }

    pub fn deinit(self: *Rules) void {
        self.room.deinit();
    }

    pub fn allow(self: *const Rules, caller: Caller) bool {
        if (self.everybody or self.anybody) return true;
        if (caller.is_run and self.no_runs) return false;
        if (caller.is_run and self.runs) return true;
        if (self.principals.contains(caller.principal)) return true;
        if (self.teams.contains(caller.team)) return true;
        if (self.members.size == 0) return false;
        var room: [longest_member]u8 = undefined;
        const name = member(&room, caller.team, caller.principal) orelse return false;
        return self.members.contains(name);
    }

    fn readLine(self: *Rules, line: []const u8) Error!void {
        var names = std.mem.tokenizeScalar(u8, line, ' ');
        const first = names.next() orelse return error.Unreadable;
        const word = std.meta.stringToEnum(Word, first) orelse return error.Unreadable;
        switch (word) {
            .anybody => self.anybody = true,
            .everybody => self.everybody = true,
            .runs => self.runs = true,
            .@"no-runs" => self.no_runs = true,
            .principals => while (names.next()) |name| try self.put(&self.principals, name),
            .teams => while (names.next()) |name| try self.put(&self.teams, name),
            .in => try self.readMembers(&names),
            .most => self.most = .{
                .bytes = std.fmt.parseInt(u64, names.next() orelse "", 10) catch
                    return error.Unreadable,
                .name = try readReason(&names),
            },
            .otherwise => self.otherwise = try readReason(&names),
        }
        if (names.next() != null) return error.Unreadable;
    }

    fn readReason(names: *std.mem.TokenIterator(u8, .scalar)) Error![]const u8 {
        const name = names.next() orelse return error.Unreadable;
        return if (name.len <= longest_reason) name else error.Unreadable;
    }

    fn readMembers(self: *Rules, names: *std.mem.TokenIterator(u8, .scalar)) Error!void {
        const team = names.next() orelse return error.Unreadable;
        while (names.next()) |principal| {
            var room: [longest_member]u8 = undefined;
            const name = member(&room, team, principal) orelse return error.Unreadable;
            try self.put(&self.members, try self.room.allocator().dupe(u8, name));
        }
    }

    fn put(self: *Rules, set: *std.StringHashMapUnmanaged(void), name: []const u8) Error!void {
        try set.put(self.room.allocator(), name, {});
    }
};

/// Name a principal with a key of one team. No name holds a space.
fn member(room: *[longest_member]u8, team: []const u8, principal: []const u8) ?[]const u8 {
    return std.fmt.bufPrint(room, "{s} {s}", .{ team, principal }) catch null;
}
