//! The filter that says who calls and whether they may: a key that counts and was not revoked, no
//! browser's key but on its page, nobody who is not granted the route, nothing that is too large.
//!
//! It has each key verified once, by Envoy's own filter for keys behind an inner listener, and
//! remembers what that said. On pages, where a cookie may hold the key, that filter stands before.

const std = @import("std");
const envoy = @import("envoy.zig");
const known = @import("known.zig");
const rules = @import("rules.zig");
const settings = @import("settings.zig");

const Identity = known.Identity;

// The names that Python knows too: names.py, gate.py, verifier.py.
const details = "plinth_denied[{s}]";
const verifier = "verifier";
const bearer = "Bearer ";
const prefix = "plk_";
const expired_words = "Jwt is expired";
const reasons = .{
    .no_key = "no-key",
    .two_keys = "two-keys",
    .expired = "key-expired",
    .forged = "key-forged",
    .unverified = "unverified",
    .revoked = "revoked",
    .other_page = "other-page",
};
/// Nobody is granted it.
pub const nobody = "none";

const forbidden = 403;
const unauthorized = 401;
const unavailable = 503;
const ok = "200";
const skew_s = 10;
const patience_ms = 5_000;
// Envoy takes 100 of a client's; some are ours.
const most_headers = 256;

// One for each thread, of which each reads one request at a time: to clear it would cost more than
// all the rest.
threadlocal var room: [most_headers]envoy.Pair = @splat(.{ .key = .{}, .value = .{} });

/// What is read of a request, or of what the verifier answers. The names are those of identity.py.
const Asked = struct {
    authorization: ?[]const u8 = null,
    @"api-key": ?[]const u8 = null,
    @"x-api-key": ?[]const u8 = null,
    @"x-plinth-principal": ?[]const u8 = null,
    @"x-plinth-team": ?[]const u8 = null,
    @"x-plinth-key": ?[]const u8 = null,
    @"x-plinth-run-principal": ?[]const u8 = null,
    @"x-plinth-expires": ?[]const u8 = null,
    @"x-plinth-page": ?[]const u8 = null,
    @"x-plinth-browser": ?[]const u8 = null,
    @":status": ?[]const u8 = null,
    @"content-length": ?[]const u8 = null,

    /// Read headers. TwoKeys: one has two values, which none of these may.
    fn read(headers: []const envoy.Pair) error{TwoKeys}!Asked {
        var asked: Asked = .{};
        for (headers) |each| {
            const name = each.key.slice();
            inline for (@typeInfo(Asked).@"struct".fields) |field| {
                const known_name = field.name;
                // Most names differ in their length, and there are many.
                if (name.len == known_name.len and std.mem.eql(u8, name, known_name)) {
                    const value = each.value.slice();
                    if (@field(asked, known_name)) |before| {
                        if (!std.mem.eql(u8, before, value)) return error.TwoKeys;
                    }
                    @field(asked, known_name) = value;
                }
            }
        }
        return asked;
    }

    /// Return the key that was sent, without its prefix. Null: there is none of ours.
    fn token(self: *const Asked) error{TwoKeys}!?[]const u8 {
        const bare = self.authorization orelse "";
        const is_bearer = std.ascii.startsWithIgnoreCase(bare, bearer);
        const authorized = if (is_bearer) std.mem.trimLeft(u8, bare[bearer.len..], " ") else "";
        var found: ?[]const u8 = null;
        for ([_][]const u8{
            authorized,
            self.@"api-key" orelse "",
            self.@"x-api-key" orelse "",
        }) |each| {
            if (!std.mem.startsWith(u8, each, prefix)) continue;
            const sent = each[prefix.len..];
            // Two headers of one name may come as one.
            if (std.mem.indexOfScalar(u8, sent, ',') != null) return error.TwoKeys;
            if (found) |other| {
                if (!std.mem.eql(u8, other, sent)) return error.TwoKeys;
            }
            found = sent;
        }
        return found;
    }

    /// Return who calls, as Envoy's filter for keys says: it has verified a key. Null: it has none.
    fn identity(self: *const Asked) ?Identity {
        return .{
            .principal = self.@"x-plinth-principal" orelse return null,
            .team = self.@"x-plinth-team" orelse return null,
            .key = self.@"x-plinth-key" orelse return null,
            .is_run = self.@"x-plinth-run-principal" != null,
            .expires = std.fmt.parseInt(i64, self.@"x-plinth-expires" orelse return null, 10) catch
                return null,
        };
    }

    fn isOfBrowser(self: *const Asked) bool {
        return self.@"x-plinth-page" != null or self.@"x-plinth-browser" != null;
    }

    /// Tell whether a body that comes is more than this, or does not say how much it is.
    fn isLarger(self: *const Asked, most: u64) bool {
        const length = self.@"content-length" orelse return true;
        return (std.fmt.parseInt(u64, length, 10) catch return true) > most;
    }
};

/// One request at the gate.
pub const Gate = struct {
    handle: envoy.Handle,
    own: *const settings.Gate,
    state: enum { open, waiting, closed } = .open,
    has_body: bool = false,

    pub fn onRequestHeaders(self: *Gate, is_last: bool) envoy.HeadersStatus {
        self.has_body = !is_last;
        const route = settings.routeRules(self.handle);
        if (route) |found| if (found.anybody) return .go_on;
        self.decide(route);
        return switch (self.state) {
            .open => .go_on,
            .waiting => .stop_all,
            .closed => .stop,
        };
    }

    pub fn onRequestBody(self: *const Gate) envoy.BodyStatus {
        return if (self.state == .closed) .stop else .go_on;
    }

    pub fn onRequestTrailers(self: *const Gate) envoy.HeadersStatus {
        return if (self.state == .closed) .stop else .go_on;
    }

    /// Go on with what the verifier says of the key.
    pub fn onVerified(self: *Gate, headers: []const envoy.Pair, words: []const u8) void {
        if (self.state != .waiting) return;
        self.state = .open;
        self.goOn(headers, words);
        if (self.state == .open) envoy.goOn(self.handle);
    }

    fn decide(self: *Gate, route: ?*const rules.Rules) void {
        const asked = self.read() orelse return;
        const token = asked.token() catch return self.refuse(unauthorized, reasons.two_keys);
        // What Envoy's filter says stands first: it may have found the key in a cookie.
        if (asked.identity()) |said| return self.check(&asked, said, route);
        const key = token orelse return self.refuse(unauthorized, reasons.no_key);
        if (known.find(self.own.scope, key)) |said| {
            if (isOver(said)) return self.refuse(unauthorized, reasons.expired);
            return self.check(&asked, said, route);
        }
        var space: [256]u8 = undefined;
        const signer = known.signerOf(key, &space) orelse "";
        if (!self.own.signers.contains(signer)) return self.refuse(unauthorized, reasons.forged);
        self.ask(key);
    }

    /// Have the key verified.
    fn ask(self: *Gate, key: []const u8) void {
        var space: [bearer.len + prefix.len + known.longest_token]u8 = undefined;
        const text = std.fmt.bufPrint(&space, bearer ++ prefix ++ "{s}", .{key}) catch
            return self.refuse(unauthorized, reasons.forged);
        const headers = [_]envoy.Pair{
            .of(":method", "GET"),
            .of(":path", "/"),
            .of("host", verifier),
            .of("authorization", text),
        };
        self.state = .waiting;
        if (!envoy.call(self.handle, verifier, &headers, patience_ms)) {
            self.refuse(unavailable, reasons.unverified);
        }
    }

    fn goOn(self: *Gate, headers: []const envoy.Pair, words: []const u8) void {
        const answer = Asked.read(headers) catch
            return self.refuse(unauthorized, reasons.forged);
        const status = answer.@":status" orelse
            return self.refuse(unavailable, reasons.unverified);
        if (!std.mem.eql(u8, status, ok)) {
            if (!std.mem.eql(u8, status, "401")) {
                return self.refuse(unavailable, reasons.unverified);
            }
            const is_over = std.mem.eql(u8, words, expired_words);
            return self.refuse(unauthorized, if (is_over) reasons.expired else reasons.forged);
        }
        const said = answer.identity() orelse return self.refuse(unauthorized, reasons.forged);
        const asked = self.read() orelse return;
        if (answer.isOfBrowser()) {
            // The log says whose key was taken elsewhere.
            self.tell(&asked, said);
            return self.refuse(forbidden, reasons.other_page);
        }
        const token = asked.token() catch null;
        const key = token orelse return self.refuse(unauthorized, reasons.no_key);
        const kept = known.remember(self.own.scope, key, said) catch
            return self.refuse(unavailable, reasons.unverified);
        self.check(&asked, kept, settings.routeRules(self.handle));
    }

    /// Let the caller in, or say why not.
    fn check(self: *Gate, asked: *const Asked, said: Identity, route: ?*const rules.Rules) void {
        if (asked.isOfBrowser()) return self.refuse(forbidden, reasons.other_page);
        if (self.own.revoked.contains(said.key)) {
            self.tell(asked, said);
            return self.refuse(forbidden, reasons.revoked);
        }
        const reason = self.reasonAgainst(asked, said, route);
        self.tell(asked, said);
        if (reason) |name| self.refuse(forbidden, name);
    }

    /// Say who calls to whatever stands behind, and to the log.
    fn tell(self: *const Gate, asked: *const Asked, said: Identity) void {
        if (asked.@"x-plinth-key" != null) {
            // Envoy's own filter has said it, and when the key ends is nobody else's affair.
            return envoy.setHeader(self.handle, .request, "x-plinth-expires", null);
        }
        envoy.setHeader(self.handle, .request, "x-plinth-principal", said.principal);
        envoy.setHeader(self.handle, .request, "x-plinth-team", said.team);
        envoy.setHeader(self.handle, .request, "x-plinth-key", said.key);
        if (said.is_run) {
            envoy.setHeader(self.handle, .request, "x-plinth-run-principal", said.principal);
        }
    }

    fn reasonAgainst(
        self: *const Gate,
        asked: *const Asked,
        said: Identity,
        route: ?*const rules.Rules,
    ) ?[]const u8 {
        const found = route orelse return nobody;
        const is_allowed = found.allow(.{
            .principal = said.principal,
            .team = said.team,
            .is_run = said.is_run,
        });
        if (!is_allowed) return found.otherwise;
        const most = found.most orelse return null;
        return if (self.has_body and asked.isLarger(most.bytes)) most.name else null;
    }

    fn read(self: *Gate) ?Asked {
        const headers = envoy.headers(self.handle, .request, &room) orelse {
            self.refuse(forbidden, nobody);
            return null;
        };
        return Asked.read(headers) catch {
            self.refuse(unauthorized, reasons.two_keys);
            return null;
        };
    }

    fn refuse(self: *Gate, status: u32, reason: []const u8) void {
        self.state = .closed;
        answerFor(self.handle, status, reason);
    }
};

/// Return why a caller who passed the gate may not go on to where these rules are, or null.
pub fn reasonBehindGate(handle: envoy.Handle, route: ?*const rules.Rules) ?[]const u8 {
    const found = route orelse return nobody;
    const caller: rules.Caller = .{
        .principal = envoy.header(handle, .request, "x-plinth-principal") orelse "",
        .team = envoy.header(handle, .request, "x-plinth-team") orelse "",
        .is_run = envoy.header(handle, .request, "x-plinth-run-principal") != null,
    };
    return if (found.allow(caller)) null else found.otherwise;
}

/// Refuse a request that passed the gate for this reason.
pub fn refuse(handle: envoy.Handle, reason: []const u8) void {
    answerFor(handle, forbidden, reason);
}

fn answerFor(handle: envoy.Handle, status: u32, reason: []const u8) void {
    var space: [details.len + rules.longest_reason]u8 = undefined;
    const words = std.fmt.bufPrint(&space, details, .{reason}) catch unreachable;
    envoy.respond(handle, status, "", words);
}

fn isOver(said: Identity) bool {
    return std.time.timestamp() > said.expires +| skew_s;
}
