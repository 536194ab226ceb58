-- does:      attempts since the first sample of this window, which the probe cannot have left: they are of real events.
-- called by: step observe, whose samples stand in sluice.observation; locks: none; raises: nothing.
select count(*) as value
from iu_route_attempt
where iu_route_attempt.created_at >= (
  select min(observation.sampled_at)
  from sluice.observation
  join sluice.run on run.run_id = observation.run_id
  where run.finished_at is null
);
