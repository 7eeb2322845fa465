//! Reads what a request in OpenAI's protocol asks for, in that of Azure too, and what to change in
//! its body so that every server gets it in one form. Nothing here knows Envoy.

const std = @import("std");
const json = @import("json.zig");

const longest_name = 40;
const most_tokens = 1_000_000_000;
const most_choices = 1_000_000_000;
const most_asked = 1_000_000_000_000_000;
const with_usage = "\"include_usage\":true";

/// The names that the gateway looks for.
const Name = enum {
    model,
    stream,
    stream_options,
    include_usage,
    max_tokens,
    max_completion_tokens,
    max_output_tokens,
    n,
    best_of,
    prompt,
};

pub const Refusal = struct { status: u32, reason: []const u8 };

/// A path as servers of OpenAI's protocol have it. `named`: the endpoint in one of Azure's form.
pub const Path = struct {
    path: []const u8,
    named: ?[]const u8 = null,

    /// Tell whether a stream there ends with its usage only if it is asked to.
    pub fn hidesUsage(self: Path) bool {
        return std.mem.eql(u8, self.path, "/v1/chat/completions") or
            std.mem.eql(u8, self.path, "/v1/completions");
    }

    /// Tell whether an answer there has tokens of its own: embeddings only read.
    pub fn hasOutput(self: Path) bool {
        return !std.mem.eql(u8, self.path, "/v1/embeddings");
    }
};

/// Return what the path of a request names; `room` holds another form of it.
pub fn readPath(target: []const u8, room: []u8) Path {
    const path = target[0 .. std.mem.indexOfScalar(u8, target, '?') orelse target.len];
    const begin = "/openai/deployments/";
    if (!std.mem.startsWith(u8, path, begin)) return .{ .path = path };
    const rest = path[begin.len..];
    const end = std.mem.indexOfScalar(u8, rest, '/') orelse return .{ .path = path };
    const common = std.fmt.bufPrint(room, "/v1{s}", .{rest[end..]}) catch return .{ .path = path };
    return .{ .path = common, .named = rest[0..end] };
}

/// Tell whether a `content-type` is JSON in UTF-8.
pub fn isJson(kind: []const u8) bool {
    const begin = "application/json";
    if (!std.ascii.startsWithIgnoreCase(kind, begin)) return false;
    const rest = std.mem.trim(u8, kind[begin.len..], " \t");
    if (rest.len == 0) return true;
    const more = std.mem.trim(u8, rest[1..], " \t");
    return rest[0] == ';' and (std.ascii.eqlIgnoreCase(more, "charset=utf-8") or
        std.ascii.eqlIgnoreCase(more, "charset=\"utf-8\""));
}

/// What to put in the place of parts of a text, in the order of these places.
pub const Edits = struct {
    const Edit = struct { place: json.Span, text: []const u8 };

    all: [4]Edit = undefined,
    count: usize = 0,

    fn add(self: *Edits, place: json.Span, text: []const u8) void {
        var at = self.count;
        while (at > 0 and self.all[at - 1].place.from > place.from) : (at -= 1) {
            self.all[at] = self.all[at - 1];
        }
        self.all[at] = .{ .place = place, .text = text };
        self.count += 1;
    }

    /// Make `quoted`, a text of JSON, the model.
    pub fn nameModel(self: *Edits, body: *const Body, quoted: []const u8) void {
        const place = body.members.values.get(.model) orelse {
            self.add(body.start(), "\"model\":");
            self.add(body.start(), quoted);
            if (body.members.count > 0) self.add(body.start(), ",");
            return;
        };
        if (!std.mem.eql(u8, place.of(body.text), quoted)) self.add(place, quoted);
    }

    /// Make a stream end with its usage; tell whether it would not have.
    pub fn askForUsage(self: *Edits, body: *const Body) bool {
        const before = self.count;
        const place = body.members.values.get(.stream_options) orelse {
            self.add(body.start(), "\"stream_options\":{" ++ with_usage ++ "},");
            return true;
        };
        const given = place.of(body.text);
        if (std.mem.eql(u8, given, "null")) {
            self.add(place, "{" ++ with_usage ++ "}");
            return true;
        }
        const options = switch (json.read(Name, given)) {
            .members => |members| members,
            .problem => return false,
        };
        if (options.values.get(.include_usage)) |asked| {
            const does = std.mem.eql(u8, asked.of(given), "true");
            if (!does) self.add(asked.after(place.from), "true");
        } else {
            const inside: json.Span = .{ .from = 1, .to = 1 };
            const last = options.count == 0;
            self.add(inside.after(place.from), if (last) with_usage else with_usage ++ ",");
        }
        return self.count > before;
    }

    /// Return the text with these edits; who calls frees it.
    pub fn apply(self: *const Edits, allocator: std.mem.Allocator, text: []const u8) ![]u8 {
        var written: std.ArrayList(u8) = .empty;
        errdefer written.deinit(allocator);
        try written.ensureTotalCapacity(allocator, text.len + 256);
        var from: usize = 0;
        for (self.all[0..self.count]) |each| {
            try written.appendSlice(allocator, text[from..each.place.from]);
            try written.appendSlice(allocator, each.text);
            from = each.place.to;
        }
        try written.appendSlice(allocator, text[from..]);
        return written.toOwnedSlice(allocator);
    }
};

/// A body that could be read.
pub const Body = struct {
    text: []const u8,
    members: json.Members(Name),

    /// Return the place before its first member.
    fn start(self: *const Body) json.Span {
        const at = json.skipSpace(self.text, 0) + 1;
        return .{ .from = at, .to = at };
    }

    fn raw(self: *const Body, name: Name) ?[]const u8 {
        return self.members.raw(self.text, name);
    }

    pub fn isStream(self: *const Body) bool {
        return std.mem.eql(u8, self.raw(.stream) orelse "", "true");
    }

    /// Return how many tokens the answer may have, where the body says it. Servers differ in which
    /// name they read, and some read texts too: the largest counts.
    pub fn mostTokens(self: *const Body) ?u64 {
        const names = [_]Name{ .max_tokens, .max_completion_tokens, .max_output_tokens };
        var most: ?u64 = null;
        for (names) |name| {
            const number = self.atMost(name, most_tokens) orelse continue;
            most = @max(most orelse 0, number);
        }
        return @min(most_asked, (most orelse return null) *| self.choices());
    }

    /// Return how many answers in one it asks for, at most: to each of its prompts as many.
    pub fn choices(self: *const Body) u64 {
        const each = @max(
            1,
            self.atMost(.n, most_choices) orelse 1,
            self.atMost(.best_of, most_choices) orelse 1,
        );
        return each *| prompts(self.raw(.prompt) orelse return each);
    }

    /// Return the number that stands there, or `most` for whatever we do not read as a smaller one.
    fn atMost(self: *const Body, name: Name, most: u64) ?u64 {
        const value = self.raw(name) orelse return null;
        return if (std.mem.eql(u8, value, "null")) null else json.whole(value, most) orelse most;
    }

    /// Return how many prompts a value may be: a list of texts, or of lists of tokens, is as many.
    fn prompts(value: []const u8) u64 {
        if (value[0] != '[') return 1;
        var count: u64 = 0;
        var at = json.skipSpace(value, 1);
        while (at < value.len and value[at] != ']') {
            if (value[at] == '"' or value[at] == '[' or value[at] == '{') count += 1;
            // What is no list to us may be one to a server: no byte holds more than one prompt.
            at = json.afterValue(value, at) orelse return value.len;
            at = json.skipSpace(value, json.afterMark(value, at, ',') orelse break);
        }
        return @max(1, count);
    }

    /// Write what the access log says of it: one text of JSON, or nothing.
    pub fn describe(self: *const Body, room: []u8, asked: Asked) ?[]const u8 {
        var short: [json.longest_logged]u8 = undefined;
        var writer = std.Io.Writer.fixed(room);
        self.write(&writer, asked.logged(&short)) catch return null;
        if (writer.end == 0) return null;
        room[0] = '{';
        return writer.buffered();
    }

    fn write(self: *const Body, writer: *std.Io.Writer, name: ?[]const u8) !void {
        if (self.isStream()) try writer.writeAll(",\"stream\":true");
        if (name) |each| try writer.print(",\"model\":\"{s}\"", .{each});
        if (self.mostTokens()) |most| try writer.print(",\"max\":{d}", .{most});
        if (writer.end > 0) try writer.writeByte('}');
    }
};

/// Which endpoint is asked for. `model`: as the body names it, if it does.
pub const Asked = struct {
    endpoint: []const u8,
    model: ?[]const u8,

    /// Tell whether there can be an endpoint of this name.
    pub fn isName(self: Asked) bool {
        const name = self.endpoint;
        if (name.len == 0 or name.len > longest_name or !std.ascii.isLower(name[0])) return false;
        for (name) |each| switch (each) {
            'a'...'z', '0'...'9', '-' => {},
            else => return false,
        };
        return true;
    }

    /// Return what the log says of the model, where the name of the route does not say it.
    fn logged(self: Asked, room: *[json.longest_logged]u8) ?[]const u8 {
        if (!self.isName()) return json.logged(room, self.endpoint);
        const model = self.model orelse return "";
        return if (std.mem.eql(u8, model, self.endpoint)) null else json.logged(room, model);
    }
};

pub const Reading = union(enum) { body: Body, refusal: Refusal };

/// Read a body; `room` holds the words of a refusal.
pub fn readBody(text: []const u8, room: []u8) Reading {
    const problem = switch (json.read(Name, text)) {
        .members => |members| return .{ .body = .{ .text = text, .members = members } },
        .problem => |problem| problem,
    };
    var writer = std.Io.Writer.fixed(room);
    explain(problem, &writer) catch {};
    return .{ .refusal = .{ .status = 400, .reason = writer.buffered() } };
}

fn explain(problem: json.Problem, writer: *std.Io.Writer) !void {
    try writer.writeAll("the body is no JSON object that can be read: ");
    switch (problem) {
        .syntax => try writer.writeAll("its syntax"),
        .twice => |name| try writer.print("it holds `{s}` twice", .{name[0..@min(name.len, 40)]}),
        .escaped => try writer.writeAll("a name in it is written with escapes"),
        .cased => try writer.writeAll("a name in it is written in another case"),
        .crowded => try writer.print("it has more than {d} names", .{json.most_members}),
    }
}

/// Return what is asked for, or null where neither the path nor the body names it.
pub fn readAsked(path: Path, body: *const Body) ?Asked {
    const raw = body.raw(.model);
    const model = if (raw) |value| json.unquoted(value) else null;
    const named = path.named orelse {
        return if (model) |name| .{ .endpoint = name, .model = name } else null;
    };
    // Azure's clients may leave it out, or say null: their address has it.
    if (model == null and !std.mem.eql(u8, raw orelse "null", "null")) return null;
    return .{ .endpoint = named, .model = model };
}
