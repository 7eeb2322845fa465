-- What the gateway does in OpenAI's protocol, in that of Azure too: which endpoint a request asks
-- for, in the one form that every server gets, and what the answer says was used.
--
-- It runs in Envoy's workers for these addresses only; `openai_filter.py` puts it there and names
-- what each place has of it. Bodies are cut and joined, never written anew: the order of names and
-- every digit stay as the caller sent them. An error in here ends as a refusal, since nothing but
-- this script chooses an endpoint.

local byte, find, lower, match, sub = string.byte, string.find, string.lower, string.match, string.sub

local DEEPEST = 100
local MOST_USAGE = 4096
local MOST_HELD = 65536
local LONGEST_NAME = 40
local LONGEST_LOGGED = 200
local MOST_TOKENS = 1e9
-- The bucket of requests that no limit concerns: limits.py.
local UNLIMITED = 4000000000
local MOST_CHOICES = 1000
local QUOTE, BACKSLASH, COMMA, COLON, OPEN, CLOSE = 34, 92, 44, 58, 123, 125
local REQUEST, USAGE = "plinth", "plinth.usage"
local WITH_USAGE = '"include_usage":true'

-- Where a stream ends with its usage only if it is asked to.
local ASKED_FOR_USAGE = {["/v1/chat/completions"] = true, ["/v1/completions"] = true}
local TOKEN_LIMITS = {"max_tokens", "max_completion_tokens", "max_output_tokens"}

-- What may stand outside of texts. Whatever a lenient parser knows besides, like comments, could
-- make it see another `model` than we do.
local PLAIN, STEP = {}, {}
for each = 0, 255 do
  PLAIN[each] = find(string.char(each), "[%w,:+%-. \t\r\n]") ~= nil and each < 128
  STEP[each] = 0
end
STEP[123], STEP[91], STEP[125], STEP[93] = 1, 1, -1, -1

-- Return the place after the text that begins with the quote at `at`, or nil.
local function after_text(text, at)
  local from = at + 1
  while true do
    local hit = find(text, '"', from, true)
    if not hit then return nil end
    local back = hit - 1
    while byte(text, back) == BACKSLASH do back = back - 1 end
    if (hit - back) % 2 == 1 then return hit + 1 end
    from = hit + 1
  end
end

-- Return the place after the value that begins at `at`, or nil.
local function after_value(text, at)
  local first = byte(text, at)
  if first == QUOTE then return after_text(text, at) end
  if STEP[first] ~= 1 then
    local _, last = find(text, "^[%w.+-]+", at)
    return last and last + 1
  end
  local depth, length = 0, #text
  while at <= length do
    local each = byte(text, at)
    if each == QUOTE then
      at = after_text(text, at)
      if not at then return nil end
    else
      local step = STEP[each]
      if step == 0 and not PLAIN[each] then return nil end
      depth = depth + step
      if depth > DEEPEST then return nil end
      at = at + 1
      if depth == 0 then return at end
    end
  end
  return nil
end

local function word(text, at)
  return find(text, "[^ \t\r\n]", at)
end

-- Return where the value of each member of the object in `text` stands, as {first, after}.
local function members(text, at, stop)
  local found = {}
  at = word(text, at)
  if not at or byte(text, at) ~= OPEN then return nil end
  at = word(text, at + 1)
  if at and byte(text, at) == CLOSE then
    return not word(text, at + 1) and found or (stop and at + 1 == stop and found) or nil
  end
  while at and byte(text, at) == QUOTE do
    local after = after_text(text, at)
    if not after then return nil end
    local name = sub(text, at + 1, after - 2)
    local colon = word(text, after)
    if not colon or byte(text, colon) ~= COLON then return nil end
    local value = word(text, colon + 1)
    local ended = value and after_value(text, value)
    if not ended then return nil end
    if found[name] then return nil, "it holds `" .. sub(name, 1, 40) .. "` twice" end
    -- It may be another spelling of a name that is there.
    if find(name, "\\", 1, true) then return nil, "a name in it is written with escapes" end
    found[name] = {value, ended}
    at = word(text, ended)
    local mark = at and byte(text, at)
    if mark == CLOSE then
      if at + 1 ~= stop and word(text, at + 1) then return nil end
      return found
    end
    if mark ~= COMMA then return nil end
    at = word(text, at + 1)
  end
  return nil
end

local function raw(text, place)
  return place and sub(text, place[1], place[2] - 1)
end

local function whole(text, place, most)
  local number = place and tonumber(match(raw(text, place), "^%d+$"))
  return number and number <= most and number or nil
end

-- Return the edit that makes a stream end with its usage, and nil where it does already.
local function ask_for_usage(text, found, start)
  local place = found.stream_options
  local given = raw(text, place)
  if not given then return {start, start, '"stream_options":{' .. WITH_USAGE .. "},"} end
  if given == "null" then return {place[1], place[2], "{" .. WITH_USAGE .. "}"} end
  local options = members(text, place[1], place[2])
  if not options then return nil end
  local asked = options.include_usage
  if not asked then
    local is_empty = next(options) == nil
    return {place[1] + 1, place[1] + 1, WITH_USAGE .. (is_empty and "" or ",")}
  end
  if raw(text, asked) == "true" then return nil end
  return {asked[1], asked[2], "true"}
end

-- Return the edit that makes `name` the model, and nil where it is.
local function name_model(text, found, name, start)
  local quoted = '"' .. string.gsub(name, '[%c"\\]', function(each)
    return string.format("\\u%04x", byte(each))
  end) .. '"'
  local place = found.model
  if not place then
    return {start, start, '"model":' .. quoted .. (next(found) and "," or "")}
  end
  if raw(text, place) == quoted then return nil end
  return {place[1], place[2], quoted}
end

local function edited(text, edits)
  table.sort(edits, function(one, other) return one[1] < other[1] end)
  local pieces, from = {}, 1
  for _, edit in ipairs(edits) do
    pieces[#pieces + 1] = sub(text, from, edit[1] - 1)
    pieces[#pieces + 1] = edit[3]
    from = edit[2]
  end
  pieces[#pieces + 1] = sub(text, from)
  return table.concat(pieces)
end

local function is_json(kind)
  if kind == "application/json" then return true end
  kind = lower(kind or "")
  return match(kind, "^application/json%s*$") ~= nil
    or match(kind, '^application/json%s*;%s*charset="?utf%-8"?%s*$') ~= nil
end

local function refuse(handle, status, reason)
  handle:respond({[":status"] = status}, reason)
end

-- Return what of a name is written into the log, which holds short lines of plain text.
local function logged(name)
  return (string.gsub(sub(name, 1, LONGEST_LOGGED), "[^ -~]", "?"))
end

-- Return a member of a JSON object: a name that can stand in a text as it is.
local function quoted(member, name)
  return '"' .. member .. '":"' .. string.gsub(logged(name), '[\\"]', "?") .. '"'
end

-- Note what an answer has told so far, as one text of JSON.
local function tell(handle, model, first, last, events)
  local parts = {}
  if model then parts[#parts + 1] = quoted("answered", model) end
  if last then parts[#parts + 1] = '"usage":' .. last end
  if first and first ~= last then parts[#parts + 1] = '"usage_first":' .. first end
  if events then parts[#parts + 1] = '"events":' .. events end
  local text = "{" .. table.concat(parts, ",") .. "}"
  handle:streamInfo():dynamicMetadata():set(USAGE, "told", text)
end

local function unreadable(problem)
  return "the body is no JSON object that can be read: " .. (problem or "its syntax")
end

-- Note what the access log wants to know of the request, and the guard where a limit concerns it,
-- which reads texts only.
local function note(handle, text, found, request, about, endpoint)
  local most
  for _, name in ipairs(TOKEN_LIMITS) do
    most = most or whole(text, found[name], MOST_TOKENS)
  end
  if most then
    most = tostring(most * (whole(text, found.n, MOST_CHOICES) or 1))
    about[#about + 1] = '"max":' .. most
  end
  if handle:metadata():get("limited") then
    local headers = handle:headers()
    request.limited = "yes"
    request.max_tokens = most
    request.endpoint = endpoint
    request.len = tostring(#text)
    request.team = headers:get("x-plinth-team")
    request.key = headers:get("x-plinth-key")
  end
  -- Each takes some microseconds, here and in the log: what the log says stands in one text, and
  -- nothing is noted that the route's name says already.
  if #about > 0 then request.asked = "{" .. table.concat(about, ",") .. "}" end
  if next(request) == nil then return end
  local metadata = handle:streamInfo():dynamicMetadata()
  for name, value in pairs(request) do metadata:set(REQUEST, name, value) end
end

-- Find the endpoint that a caller asks for, and bring the request into the form of all servers.
local function read_request(handle)
  local headers = handle:headers()
  local path = match(headers:get(":path"), "^[^?]*")
  local name, rest = match(path, "^/openai/deployments/([^/]+)(/.+)$")
  local is_azure = name ~= nil
  if is_azure then path = "/v1" .. rest end
  if not is_json(headers:get("content-type")) then
    return refuse(handle, "415", "the body must be JSON in UTF-8, sent as `content-type: application/json`")
  end
  local encoding = headers:get("content-encoding")
  if encoding and lower(encoding) ~= "identity" then
    return refuse(handle, "415", "the gateway reads no compressed body; send it as it is")
  end

  local body = handle:body(true)
  local text = body:getBytes(0, body:length())
  local found, problem = members(text, 1)
  if not found then
    return refuse(handle, "400", unreadable(problem))
  end
  local model = raw(text, found.model)
  local asked = match(model or "", '^"(.*)"$')
  -- Azure's clients may leave it out, or say null: their address has it.
  if not asked and not (is_azure and (model or "null") == "null") then
    return refuse(handle, "400", "the body must name the model: `model` is a text")
  end
  name = name or asked
  local is_stream = raw(text, found.stream) == "true"
  local request = {}
  local about = is_stream and {'"stream":true'} or {}
  if asked ~= name then about[#about + 1] = quoted("model", asked or "") end
  -- Anything else is no name of an endpoint: it stays at the address where nothing is granted.
  if #name > LONGEST_NAME or not match(name, "^[a-z][a-z0-9-]*$") then
    about[#about + 1] = quoted("model", name)
    return note(handle, text, found, request, about)
  end

  headers = handle:headers()
  headers:replace("x-plinth-place", "endpoint:" .. name)
  headers:replace("x-plinth-length", tostring(#text))
  if is_azure then headers:replace(":path", path) end
  handle:clearRouteCache()
  if is_stream and handle:metadata():get("endless") then
    headers:replace("x-envoy-upstream-rq-timeout-ms", "0")
  end

  local start = word(text, 1) + 1
  local edits = {}
  if is_azure then edits[#edits + 1] = name_model(text, found, name, start) end
  if is_stream and ASKED_FOR_USAGE[path] then
    local edit = ask_for_usage(text, found, start)
    edits[#edits + 1] = edit
    request.forced = edit and "yes"
  end
  if #edits > 0 then body:setBytes(edited(text, edits)) end
  note(handle, text, found, request, about, name)
end

-- Call the model what a server elsewhere calls it.
local function rename_model(handle)
  local body = handle:body(true)
  local text = body:getBytes(0, body:length())
  local found, problem = members(text, 1)
  if not found then return refuse(handle, "400", unreadable(problem)) end
  local name = handle:metadata():get("model")
  local edit = name_model(text, found, name, word(text, 1) + 1)
  if edit then body:setBytes(edited(text, {edit})) end
end

-- Return the object that begins at `begin`, or nil where it is not whole or too large.
local function object(text, begin)
  local after = begin and after_value(sub(text, begin, begin + MOST_USAGE), 1)
  return after and sub(text, begin, begin + after - 2)
end

-- Return the first and the last object named usage in `text`, or nil. The quotes of what a model
-- says are escaped, so no text of its can look like this name.
local function usages(text)
  local first, last, from = nil, nil, 1
  while true do
    local hit = find(text, '"usage"', from, true)
    if not hit then break end
    from = hit + 7
    if byte(text, hit - 1) ~= BACKSLASH then
      local _, open = find(text, "^[ \t\r\n]*:[ \t\r\n]*{", from)
      first, last = first or open, open or last
    end
  end
  return object(text, first), object(text, last)
end

-- Tell whether this event only says what was used, which the caller did not ask for.
local function is_only_usage(event)
  return find(event, '"choices"[ \t\r\n]*:[ \t\r\n]*%[[ \t\r\n]*%]') 
    and usages(event) ~= nil
end

-- Return the model that the answer names.
local function answered(text)
  local at = find(text, '"model"', 1, true)
  local name = at and match(text, '^[ \t\r\n]*:[ \t\r\n]*"([^"\\]*)"', at + 7)
  return name
end

local function read_stream(handle, is_forced)
  local held, events, first, last, model = "", 0, nil, nil, nil
  for chunk in handle:bodyChunks() do
    local text = held .. chunk:getBytes(0, chunk:length())
    local mark = find(text, "\r\n\r\n", 1, true) and "\r\n\r\n" or "\n\n"
    local from, kept = 1, {}
    if events == 0 then model = answered(text) end
    while true do
      local hit = find(text, mark, from, true)
      if not hit then break end
      local stop = hit + #mark
      events = events + 1
      if is_forced then
        local event = sub(text, from, stop - 1)
        if not is_only_usage(event) then kept[#kept + 1] = event end
      end
      from = stop
    end
    local earliest, latest = usages(text)
    first, last = first or earliest, latest or last
    tell(handle, model, first, last, events)
    held = sub(text, from)
    -- The end of a stream may come without the empty line that ends an event.
    if #held > MOST_HELD or find(held, "^data: *%[DONE%]") then
      kept[#kept + 1] = held
      held = ""
    end
    if is_forced then chunk:setBytes(table.concat(kept)) end
  end
end

local function read_answer(handle)
  local held, model = "", nil
  for chunk in handle:bodyChunks() do
    local text = held .. chunk:getBytes(0, chunk:length())
    model = model or answered(text)
    local _, usage = usages(text)
    if usage then tell(handle, model, nil, usage) end
    held = sub(text, -MOST_USAGE)
  end
end

-- Say what is left of a limit of requests in the names that OpenAI gives it.
local function rename_limits(headers)
  local limit = headers:get("x-ratelimit-limit")
  if not limit then return end
  local is_one = (tonumber(match(limit, "^%d+")) or UNLIMITED) < UNLIMITED
  for _, name in ipairs({"limit", "remaining", "reset"}) do
    local value = match(headers:get("x-ratelimit-" .. name) or "", "^%d+")
    headers:remove("x-ratelimit-" .. name)
    if value and is_one then
      local unit = name == "reset" and "s" or ""
      headers:replace("x-ratelimit-" .. name .. "-requests", value .. unit)
    end
  end
end

-- Note what the answer says was used.
local function read_response(handle)
  local headers = handle:headers()
  rename_limits(headers)
  local kind = lower(headers:get("content-type") or "")
  if find(kind, "text/event-stream", 1, true) then
    local request = handle:streamInfo():dynamicMetadata():get(REQUEST)
    -- What has a length cannot be shortened.
    local is_forced = request and request.forced and not headers:get("content-length")
    read_stream(handle, is_forced)
  elseif find(kind, "json", 1, true) then
    read_answer(handle)
  end
end
