/** What a replay of a letter would meet instead of its target, by `fn_iu_replay_mode` or the status of the replay. */
const BECAUSE: Readonly<Record<string, string>> = {
  master_gate_closed: 'gate iu_core.outbound_enabled is closed',
  worker_gate_closed: 'gate iu_core.route_worker_enabled is closed',
  delivery_gate_closed: 'gate iu_core.delivery_enabled is closed',
  not_on_the_live_list: 'iu_core.delivery_live_routes does not name the route',
  gate_closing: 'a gate is being closed',
  route_removed: 'the route was removed',
  route_disabled: 'the route is disabled',
  dry_run: 'the route is in dry run: the letter would be resolved, and nothing delivered',
  route_does_not_take_it: 'the route does not take the event any more',
  queued: 'a delivery of it is queued already',
  busy: 'somebody else has the letter',
  not_open: 'the letter is not open any more',
};

/** Why a letter was not tried, for people; a word that is unknown here is told as it is. */
export function sayStanding(word: string): string {
  return BECAUSE[word] ?? `a replay answers ${word}`;
}
