//! One request in OpenAI's protocol, and its answer: which endpoint it asks for, in the one form
//! that every server gets, and what the answer says was used.

const std = @import("std");
const answer = @import("answer.zig");
const envoy = @import("envoy.zig");
const gate = @import("gate.zig");
const json = @import("json.zig");
const request = @import("request.zig");
const settings = @import("settings.zig");

// Envoy's own memory: who asks for more than there is ends with it.
const allocator = std.heap.c_allocator;

// The names that Python knows too: openai_filter.py, places.py, replies.py, limits.py.
const filter_name = "plinth.openai";
const request_data = "plinth";
const usage_data = "plinth.usage";
const unreadable = "plinth_unreadable";
const place_header = "x-plinth-place";
const length_header = "x-plinth-length";
const endpoint_place = "endpoint:";
const unlimited = 4_000_000_000;

const words = .{
    .kind = "the body must be JSON in UTF-8, sent as `content-type: application/json`",
    .encoding = "the gateway reads no compressed body; send it as it is",
    .model = "the body must name the model: `model` is a text",
    .memory = "the gateway has no memory left for this request",
};

/// One request and its answer.
pub const Stream = struct {
    handle: envoy.Handle,
    /// As its first route says: it may choose another one.
    part: settings.Part,
    is_refused: bool = false,
    hides_usage: bool = false,
    answer: ?answer.Answer = null,

    pub fn onRequestHeaders(self: *Stream, is_last: bool) envoy.HeadersStatus {
        if (settings.routePart(self.handle)) |part| self.part = part;
        if (!self.readsRequest()) return .go_on;
        if (self.part == .caller) self.checkHeaders();
        if (self.is_refused or !is_last) return .stop;
        self.readBody(.request_held);
        return if (self.is_refused) .stop else .go_on;
    }

    pub fn onRequestBody(self: *Stream, is_last: bool) envoy.BodyStatus {
        if (!self.readsRequest()) return .go_on;
        if (self.is_refused) return .stop;
        if (!is_last) return .hold;
        self.readBody(.request_now);
        return if (self.is_refused) .stop else .go_on;
    }

    pub fn onRequestTrailers(self: *Stream) envoy.HeadersStatus {
        if (!self.readsRequest()) return .go_on;
        if (!self.is_refused) self.readBody(.request_held);
        return if (self.is_refused) .stop else .go_on;
    }

    pub fn onResponseHeaders(self: *Stream, is_last: bool) void {
        if (self.part != .caller and self.part != .answer) return;
        self.renameLimits();
        if (!is_last and !self.is_refused) self.beginAnswer();
    }

    pub fn onResponseBody(self: *Stream, is_last: bool) void {
        const found = if (self.answer) |*found| found else return;
        self.readAnswer(found, is_last) catch @panic(words.memory);
    }

    pub fn onResponseTrailers(self: *Stream) void {
        const found = if (self.answer) |*found| found else return;
        if (!found.is_forced) return;
        var kept: std.ArrayList(u8) = .empty;
        defer kept.deinit(allocator);
        found.finish(&kept) catch @panic(words.memory);
        if (kept.items.len > 0) envoy.appendBody(self.handle, .response_held, kept.items);
    }

    pub fn onComplete(self: *Stream) void {
        const found = if (self.answer) |*found| found else return;
        self.endAnswer(found) catch @panic(words.memory);
    }

    pub fn deinit(self: *Stream) void {
        if (self.answer) |*found| found.deinit();
    }

    fn readsRequest(self: *const Stream) bool {
        return self.part == .caller or self.part == .rename;
    }

    fn refuse(self: *Stream, status: u32, reason: []const u8) void {
        self.is_refused = true;
        envoy.respond(self.handle, status, reason, unreadable);
    }

    fn keepOut(self: *Stream, reason: []const u8) void {
        self.is_refused = true;
        gate.refuse(self.handle, reason);
    }

    /// Refuse what says of itself that we cannot read it.
    fn checkHeaders(self: *Stream) void {
        const kind = envoy.header(self.handle, .request, "content-type") orelse "";
        if (!request.isJson(kind)) return self.refuse(415, words.kind);
        const encoding = envoy.firstOf(self.handle, .request, "content-encoding");
        const text = encoding.value orelse return;
        const is_plain = encoding.count == 1 and std.ascii.eqlIgnoreCase(text, "identity");
        if (!is_plain) self.refuse(415, words.encoding);
    }

    /// Read the body, which has come whole; `now` is where the last of it is.
    fn readBody(self: *Stream, now: envoy.Body) void {
        self.readPieces(now) catch self.refuse(503, words.memory);
    }

    fn readPieces(self: *Stream, now: envoy.Body) !void {
        const is_one = now == .request_held or envoy.isHeldBefore(self.handle);
        const held = if (is_one) 0 else envoy.pieceCount(self.handle, .request_held);
        const count = held + envoy.pieceCount(self.handle, now);
        const pieces = try allocator.alloc(envoy.Buffer, count);
        defer allocator.free(pieces);
        envoy.pieces(self.handle, .request_held, pieces[0..held]);
        envoy.pieces(self.handle, now, pieces[held..]);
        if (count == 1) return self.readText(pieces[0].slice(), now);
        var text: std.ArrayList(u8) = .empty;
        defer text.deinit(allocator);
        for (pieces) |each| try text.appendSlice(allocator, each.slice());
        try self.readText(text.items, now);
    }

    fn readText(self: *Stream, text: []const u8, now: envoy.Body) !void {
        var room: [256]u8 = undefined;
        const body = switch (request.readBody(text, &room)) {
            .body => |body| body,
            .refusal => |refusal| return self.refuse(refusal.status, refusal.reason),
        };
        if (self.part == .caller) return self.bring(&body, now);
        const model = envoy.routeText(self.handle, filter_name, "model") orelse return;
        var edits: request.Edits = .{};
        edits.nameModel(&body, model);
        try self.change(&body, &edits, now);
    }

    /// Send the request to the endpoint that it asks for.
    fn bring(self: *Stream, body: *const request.Body, now: envoy.Body) !void {
        var path_room: [64]u8 = undefined;
        var place_room: [64]u8 = undefined;
        var model_room: [64]u8 = undefined;
        var about_room: [512]u8 = undefined;
        const target = envoy.header(self.handle, .request, ":path") orelse "";
        const path = request.readPath(target, &path_room);
        const asked = request.readAsked(path, body) orelse return self.refuse(400, words.model);
        const about = body.describe(&about_room, asked);
        // Anything else is no name of an endpoint, and nobody is granted that.
        if (!asked.isName()) {
            self.note(body, about, "", path);
            return self.keepOut(gate.nobody);
        }

        var edits: request.Edits = .{};
        const model = try std.fmt.bufPrint(&model_room, "\"{s}\"", .{asked.endpoint});
        if (path.named != null) edits.nameModel(body, model);
        const is_stream = body.isStream();
        self.hides_usage = is_stream and path.hidesUsage() and edits.askForUsage(body);

        // What is Envoy's of the path may end with the first header that is set.
        const place = try std.fmt.bufPrint(&place_room, endpoint_place ++ "{s}", .{asked.endpoint});
        if (path.named != null) envoy.setHeader(self.handle, .request, ":path", path.path);
        envoy.setHeader(self.handle, .request, place_header, place);
        self.setNumber(.request, length_header, body.text.len);
        envoy.chooseRouteAnew(self.handle);
        if (is_stream and envoy.routeSays(self.handle, filter_name, "endless")) {
            envoy.setHeader(self.handle, .request, "x-envoy-upstream-rq-timeout-ms", "0");
        }
        self.note(body, about, place[endpoint_place.len..], path);
        const rules = settings.routeRules(self.handle);
        if (gate.reasonBehindGate(self.handle, rules)) |reason| return self.keepOut(reason);
        try self.change(body, &edits, now);
    }

    /// Note what the access log wants to know, and the guard where a limit concerns the request.
    fn note(
        self: *Stream,
        body: *const request.Body,
        about: ?[]const u8,
        endpoint: []const u8,
        path: request.Path,
    ) void {
        var pairs: [7]envoy.Pair = undefined;
        var count: usize = 0;
        var length: [24]u8 = undefined;
        var most: [24]u8 = undefined;
        if (about) |text| append(&pairs, &count, "asked", text);
        if (endpoint.len > 0 and envoy.routeSays(self.handle, filter_name, "limited")) {
            append(&pairs, &count, "limited", "yes");
            append(&pairs, &count, "endpoint", endpoint);
            append(&pairs, &count, "len", digits(&length, body.text.len));
            if (!path.hasOutput()) {
                append(&pairs, &count, "max_tokens", "0");
            } else if (body.mostTokens()) |number| {
                append(&pairs, &count, "max_tokens", digits(&most, number));
            } else if (body.choices() > 1) {
                append(&pairs, &count, "n", digits(&most, body.choices()));
            }
            inline for (.{ "team", "key" }) |key| {
                const value = envoy.header(self.handle, .request, "x-plinth-" ++ key);
                if (value) |text| append(&pairs, &count, key, text);
            }
        }
        if (count > 0) envoy.note(self.handle, request_data, pairs[0..count]);
    }

    fn change(
        self: *Stream,
        body: *const request.Body,
        edits: *const request.Edits,
        now: envoy.Body,
    ) !void {
        if (edits.count == 0) return;
        const text = try edits.apply(allocator, body.text);
        defer allocator.free(text);
        if (now == .request_now) envoy.replaceBody(self.handle, .request_held, "");
        envoy.replaceBody(self.handle, now, text);
        self.setNumber(.request, "content-length", text.len);
    }

    fn setNumber(self: *Stream, kind: envoy.Headers, name: []const u8, number: u64) void {
        var room: [24]u8 = undefined;
        envoy.setHeader(self.handle, kind, name, digits(&room, number));
    }

    /// Say what is left of a limit of requests in the names that OpenAI gives it.
    fn renameLimits(self: *Stream) void {
        const limit = self.takeNumber("x-ratelimit-limit") orelse return;
        const left = self.takeNumber("x-ratelimit-remaining");
        _ = self.takeNumber("x-ratelimit-reset");
        if (limit == 0 or limit >= unlimited) return;
        self.setNumber(.response, "x-ratelimit-limit-requests", limit);
        const remaining = @min(left orelse return, limit);
        self.setNumber(.response, "x-ratelimit-remaining-requests", remaining);
        // Envoy says when there is one more; callers of OpenAI expect when there are all again.
        const seconds = ((limit - remaining) * 60 + limit - 1) / limit;
        var room: [24]u8 = undefined;
        const text = std.fmt.bufPrint(&room, "{d}s", .{seconds}) catch unreachable;
        envoy.setHeader(self.handle, .response, "x-ratelimit-reset-requests", text);
    }

    /// Take a header off; return the number that it begins with.
    fn takeNumber(self: *Stream, name: []const u8) ?u64 {
        const value = envoy.header(self.handle, .response, name) orelse return null;
        const end = std.mem.indexOfNone(u8, value, "0123456789") orelse value.len;
        const number: ?u64 = std.fmt.parseInt(u32, value[0..end], 10) catch null;
        envoy.setHeader(self.handle, .response, name, null);
        return number;
    }

    /// Begin to read the answer, where there is something to read in it.
    fn beginAnswer(self: *Stream) void {
        const kind = envoy.header(self.handle, .response, "content-type") orelse return;
        const is_stream = std.ascii.indexOfIgnoreCase(kind, "text/event-stream") != null;
        if (!is_stream and std.ascii.indexOfIgnoreCase(kind, "json") == null) return;
        const is_forced = is_stream and self.hides_usage;
        // It will be shorter than its server said.
        if (is_forced) envoy.setHeader(self.handle, .response, "content-length", null);
        self.answer = .{
            .allocator = allocator,
            .kind = if (is_stream) .stream else .text,
            .is_forced = is_forced,
        };
    }

    fn readAnswer(self: *Stream, found: *answer.Answer, is_last: bool) !void {
        const count = envoy.pieceCount(self.handle, .response_now);
        const pieces = try allocator.alloc(envoy.Buffer, count);
        defer allocator.free(pieces);
        envoy.pieces(self.handle, .response_now, pieces);
        var kept: std.ArrayList(u8) = .empty;
        defer kept.deinit(allocator);
        for (pieces) |each| try found.read(each.slice(), &kept);
        if (is_last) try found.finish(&kept);
        if (found.is_forced) envoy.replaceBody(self.handle, .response_now, kept.items);
    }

    /// Note what the answer said, whether or not it came to its end.
    fn endAnswer(self: *Stream, found: *answer.Answer) !void {
        var kept: std.ArrayList(u8) = .empty;
        defer kept.deinit(allocator);
        try found.finish(&kept);
        var room: [answer.most_told]u8 = undefined;
        const text = found.tell(&room) orelse return;
        envoy.note(self.handle, usage_data, &.{.of("told", text)});
    }
};

fn append(pairs: []envoy.Pair, count: *usize, key: []const u8, value: []const u8) void {
    pairs[count.*] = .of(key, value);
    count.* += 1;
}

fn digits(room: *[24]u8, number: u64) []const u8 {
    return std.fmt.bufPrint(room, "{d}", .{number}) catch unreachable;
}
