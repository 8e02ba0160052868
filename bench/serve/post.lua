-- wrk script: POST the body in $BENCH_BODY, and say in one line how it went.
--   BENCH_CLOSE=1  one connection per request
--   BENCH_PAUSE=N  each connection pauses after each answer, N ms on average
--   BENCH_CODE=1   the service always says 200: look for the "code" in its bodies
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/json"
if os.getenv("BENCH_CLOSE") == "1" then wrk.headers["Connection"] = "close" end

local pause = tonumber(os.getenv("BENCH_PAUSE") or "0")
if pause > 0 then
  function delay() return math.random(1, 2 * pause - 1) end
end

local by_code = os.getenv("BENCH_CODE") == "1"
local threads = {}

function setup(thread) table.insert(threads, thread) end

function init() refused, failed = 0, 0 end

-- Only when it must be: wrk is faster without.
if by_code then
  function response(status, headers, body)
    if body:find('"code":%s*429') then refused = refused + 1
    elseif status >= 300 or body:find('"code":%s*[345]') then failed = failed + 1 end
  end
end

function done(summary, latency, requests)
  local no, bad = 0, 0
  for _, thread in ipairs(threads) do
    no, bad = no + thread:get("refused"), bad + thread:get("failed")
  end
  if not by_code then no = summary.errors.status end
  io.write(string.format(
    "RESULT requests=%d refused=%d failed=%d seconds=%.6f p50_ms=%.3f p99_ms=%.3f\n",
    summary.requests, no,
    bad + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
