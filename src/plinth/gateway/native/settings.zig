//! What Envoy's settings of our filters say: those of a filter, and those of a route or a host.

const std = @import("std");
const envoy = @import("envoy.zig");
const known = @import("known.zig");
const rules = @import("rules.zig");

/// `caller`: read requests and their answers. `answer`: answers alone. `rename`: name the model.
pub const Part = enum { none, caller, answer, rename };

/// The gate's own settings: the keys that it refuses, and the signing keys that count.
pub const Gate = struct {
    text: []u8,
    revoked: std.StringHashMapUnmanaged(void) = .empty,
    signers: std.StringHashMapUnmanaged(void) = .empty,
    /// Its digest is of the signing keys, which stand in their order.
    scope: known.Scope = .{},

    fn read(allocator: std.mem.Allocator, text: []const u8) !Gate {
        var gate: Gate = .{ .text = try allocator.dupe(u8, text) };
        errdefer gate.deinit(allocator);
        var digest: std.hash.Wyhash = .init(0);
        var lines = std.mem.tokenizeScalar(u8, gate.text, '\n');
        while (lines.next()) |line| {
            var words = std.mem.splitScalar(u8, line, ' ');
            const word = std.meta.stringToEnum(enum { revoked, signer, remember }, words.first());
            const name = words.next() orelse return error.Unreadable;
            if (name.len == 0 or words.next() != null) return error.Unreadable;
            switch (word orelse return error.Unreadable) {
                .revoked => try gate.revoked.put(allocator, name, {}),
                .signer => {
                    try gate.signers.put(allocator, name, {});
                    digest.update(line);
                },
                .remember => gate.scope.most = try std.fmt.parseInt(u32, name, 10),
            }
        }
        gate.scope.digest = digest.final();
        return gate;
    }

    fn deinit(self: *Gate, allocator: std.mem.Allocator) void {
        self.revoked.deinit(allocator);
        self.signers.deinit(allocator);
        allocator.free(self.text);
    }
};

/// The gate, or a part of the filter of OpenAI's protocol.
pub const Filter = union(enum) {
    gate: Gate,
    part: Part,

    pub fn read(allocator: std.mem.Allocator, name: []const u8, text: []const u8) !Filter {
        if (std.mem.eql(u8, name, "gate")) return .{ .gate = try .read(allocator, text) };
        return .{ .part = try partOf(name) };
    }

    pub fn deinit(self: *Filter, allocator: std.mem.Allocator) void {
        switch (self.*) {
            .gate => |*own| own.deinit(allocator),
            .part => {},
        }
    }
};

/// Who may use the route, or a part of the filter of OpenAI's protocol.
pub const Route = union(enum) {
    rules: rules.Rules,
    part: Part,

    pub fn read(allocator: std.mem.Allocator, name: []const u8, text: []const u8) !Route {
        if (std.mem.eql(u8, name, "granted")) return .{ .rules = try .read(allocator, text) };
        return .{ .part = try partOf(name) };
    }

    pub fn deinit(self: *Route) void {
        switch (self.*) {
            .rules => |*own| own.deinit(),
            .part => {},
        }
    }
};

/// Return the part that the route of a request names.
pub fn routePart(handle: envoy.Handle) ?Part {
    const found = envoy.routeSettings(Route, handle) orelse return null;
    return if (found.* == .part) found.part else null;
}

/// Return who may use the route of a request; null: it does not say, and nobody may.
pub fn routeRules(handle: envoy.Handle) ?*const rules.Rules {
    const found = envoy.routeSettings(Route, handle) orelse return null;
    return if (found.* == .rules) &found.rules else null;
}

fn partOf(name: []const u8) error{Unreadable}!Part {
    return std.meta.stringToEnum(Part, name) orelse error.Unreadable;
}
