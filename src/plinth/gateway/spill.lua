-- What stands between a valve and the server behind it: pass the server over for as long as it
-- asked for, or for some seconds when it hangs, and keep to ourselves what it says of its credential.
--
-- It runs in Envoy's workers, for external deployments and for those before which a valve stands.
-- Each worker learns by itself. `spill.py` says which route has it, and tells it: `valve` is whom it
-- passes over, `provider` whose refusals of the credential are ours; `credential` says that it has
-- one, and `plain` that errors are one text there, as in the Open Inference Protocol. `others`: this is
-- the last one, and these would be asked again before it is.

local UNSERVED = "x-plinth-unserved"
-- Envoy does not send again what was answered with it.
local NO_MORE = "x-envoy-ratelimited"
-- However long a server asks for: a mistake of its must not end it here for days.
local LONGEST_S = 3600
-- So many attempts in a row must end in silence until a server is passed over, for so long.
local MOST_SILENT = 3
local SILENT_MS = 5000
local MONTHS = {Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9,
                Oct = 10, Nov = 11, Dec = 12}

-- Nobody sees it while another deployment is asked after this one.
local WAIT = '{"error":{"code":"unavailable","message":"the server asked to be left alone for a '
  .. 'while","hint":"try again after the time in `retry-after`"}}'

local until_ms = {}
local silent = {}

-- Return the seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, or nil.
local function seconds_of(date)
  local day, name, year, hour, minute, second =
    string.match(date, "^%a+, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$")
  local month = name and MONTHS[name]
  if not month then return nil end
  -- Days from the civil calendar: years begin in March, so that the day of a leap year is the last.
  local years = tonumber(year) - (month <= 2 and 1 or 0)
  local era = math.floor(years / 400)
  local of_era = years - era * 400
  local of_year = math.floor((153 * ((month + 9) % 12) + 2) / 5) + tonumber(day) - 1
  local days = era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100)
    + of_year - 719468
  return ((days * 24 + tonumber(hour)) * 60 + tonumber(minute)) * 60 + tonumber(second)
end

-- Return how many milliseconds the answer asks to wait for, or nil.
local function wished_ms(headers, now_ms)
  local exact = tonumber(headers:get("retry-after-ms") or "")
  if exact then return exact end
  local text = headers:get("retry-after")
  if not text then return nil end
  local seconds = tonumber(text)
  if seconds then return seconds * 1000 end
  local date = seconds_of(text)
  return date and date * 1000 - now_ms
end

-- Tell whether all these valves are closed.
local function are_passed_over(valves, now_ms)
  for valve in string.gmatch(valves, "%S+") do
    if (until_ms[valve] or 0) <= now_ms then return false end
  end
  return true
end

-- Return what a caller is told of a provider that lets nobody in.
local function refusal(provider, status, has_credential, is_plain)
  local message, hint = "the provider of deployment `" .. provider .. "` "
  if has_credential then
    message = message .. "refuses its credential (" .. status .. ")"
    hint = "the operator of the endpoint can set the secret anew"
  else
    message = message .. "wants a credential (" .. status .. "), and the endpoint's file names none"
    hint = "the operator of the endpoint can name one: `credential: secret:NAME`"
  end
  local text = '"' .. message .. " (hint: " .. hint .. ')"'
  if is_plain then return '{"error":' .. text .. "}" end
  return '{"error":{"message":' .. text
    .. ',"type":"server_error","code":"unavailable","param":null}}'
end

function envoy_on_request(handle)
  local valve = handle:filterContext():get("valve")
  if not valve then return end
  local left_ms = (until_ms[valve] or 0) - handle:timestamp()
  if left_ms > 0 then
    handle:respond({
      [":status"] = "503",
      ["retry-after"] = tostring(math.ceil(left_ms / 1000)),
      ["content-type"] = "application/json",
      [UNSERVED] = "asked-to-wait",
    }, WAIT)
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  local context = handle:filterContext()
  local valve, provider = context:get("valve"), context:get("provider")
  local others = context:get("others")
  if headers:get(UNSERVED) then
    -- Envoy answers by itself. That says of the server at most that it was waited for in vain.
    if valve and status == "504" then
      silent[valve] = (silent[valve] or 0) + 1
      if silent[valve] >= MOST_SILENT then until_ms[valve] = handle:timestamp() + SILENT_MS end
    end
    return
  end
  if valve then silent[valve] = 0 end
  if (valve or others) and (status == "429" or status == "503") then
    local now_ms = handle:timestamp()
    local wait_ms = wished_ms(headers, now_ms)
    if wait_ms and wait_ms > 0 then
      if valve then until_ms[valve] = now_ms + math.min(wait_ms, LONGEST_S * 1000) end
      if others and are_passed_over(others, now_ms) then headers:replace(NO_MORE, "true") end
    end
  elseif provider and (status == "401" or status == "403") then
    -- Its words may quote the key, and the caller's own key is not what was refused.
    local text = refusal(provider, status, context:get("credential"), context:get("plain"))
    headers:replace(":status", "502")
    headers:replace("content-type", "application/json")
    headers:remove("content-encoding")
    headers:remove("www-authenticate")
    headers:replace("content-length", tostring(#text))
    headers:replace(UNSERVED, context:get("credential") and "credential-refused"
      or "credential-wanted")
    handle:body(true):setBytes(text)
  end
end
