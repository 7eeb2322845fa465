//! What Envoy's settings of our filters say: those of a filter, and those of a route or a host.

const std = @import("std");
const envoy = @import("envoy.zig");
const rules = @import("rules.zig");

/// `caller`: read requests and their answers. `answer`: answers alone. `rename`: name the model.
pub const Part = enum { none, caller, answer, rename };

/// The gate, with the keys that it refuses, or a part of the filter of OpenAI's protocol.
pub const Filter = union(enum) {
    revoked: rules.Names,
    part: Part,

    pub fn read(allocator: std.mem.Allocator, name: []const u8, text: []const u8) !Filter {
        if (std.mem.eql(u8, name, "gate")) return .{ .revoked = try .read(allocator, text) };
        return .{ .part = try partOf(name) };
    }

    pub fn deinit(self: *Filter, allocator: std.mem.Allocator) void {
        switch (self.*) {
            .revoked => |*names| names.deinit(allocator),
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
