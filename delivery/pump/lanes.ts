import type { DeliveryFailure } from '../delivery-outcome.ts';
import type { RouteWork } from './delivery-queue.ts';
import type { LaneHost } from './lane-host.ts';
import { RouteLane } from './route-lane.ts';

/** Requests in flight of all routes together. */
const MOST_IN_FLIGHT = 512;

/** The lanes of one process, one for each route that had something due. */
export class Lanes implements Iterable<RouteLane> {
  readonly #host: LaneHost;
  readonly #lanes = new Map<string, RouteLane>();
  #share = MOST_IN_FLIGHT;

  constructor(host: LaneHost) {
    this.#host = host;
  }

  /** How many requests each lane may have in flight: the same for all that hold something. */
  get share(): number {
    return this.#share;
  }

  get isBusy(): boolean {
    return [...this].some((lane) => lane.isBusy);
  }

  /** Requests under way. */
  get inFlight(): number {
    return [...this].reduce((sum, lane) => sum + lane.inFlight, 0);
  }

  /** Gives a route that has something due to its lane. */
  offer(route: RouteWork): void {
    const known = this.#lanes.get(route.routeCode);
    const lane = known ?? new RouteLane(route.routeCode, this.#host);
    if (known === undefined) this.#lanes.set(route.routeCode, lane);
    lane.offer(route);
  }

  /** A lane began or ended to hold deliveries. */
  recount(): void {
    const busy = [...this].filter((lane) => lane.isBusy).length;
    this.#share = Math.max(1, Math.floor(MOST_IN_FLIGHT / Math.max(1, busy)));
  }

  /** Begins nothing further of what was claimed, for one route or for all. */
  release(routeCode?: string): void {
    for (const lane of this) if (routeCode === undefined || lane.routeCode === routeCode) lane.release();
  }

  abort(failure: DeliveryFailure): void {
    for (const lane of this) lane.abort(failure);
  }

  /** Lets nobody try any longer to settle what is not settled: it comes back when its lease ends. */
  giveUp(): void {
    for (const lane of this) for (const claim of lane.claims) claim.endsAt = 0;
  }

  tick(now: number): void {
    for (const lane of this) lane.tick(now);
  }

  [Symbol.iterator](): Iterator<RouteLane> {
    return this.#lanes.values();
  }
}
