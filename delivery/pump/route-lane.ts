import { randomUUID } from 'node:crypto';
import type { DeliveryFailure } from '../delivery-outcome.ts';
import { type Claim, hasWaiting, isOver } from './claim.ts';
import { ClaimSize } from './claim-size.ts';
import type { ClaimedDelivery, RouteWork, SettleAnswer } from './delivery-queue.ts';
import { Flight } from './flight.ts';
import { isTransient } from './is-transient.ts';
import type { LaneHost } from './lane-host.ts';
import { isConnectionLost } from './lasting-session.ts';
import { outcomeJson } from './outcome-json.ts';
import { retryMs } from './retry-ms.ts';
import { routeTimeoutMs } from './route-timeout.ts';
import { Settler } from './settler.ts';
import type { TriedDelivery } from './try-delivery.ts';

/** Failures that may wait to be settled, where the concurrency is less. */
const FEWEST_FAILURES = 10;

const LEASE_LOST: DeliveryFailure = {
  code: 'connection_cut',
  message: 'The lease of the delivery was lost, so the try was ended.',
  mayRetry: true,
  retryAfterMs: null,
};

/**
 * Delivers what is queued for one route: claims ahead, keeps up to `concurrency` requests in flight, and settles outcomes as
 * they gather. A slow request keeps no other outcome back, and no other lane.
 */
export class RouteLane {
  readonly routeCode: string;
  readonly #host: LaneHost;
  readonly #flight: Flight;
  readonly #settler: Settler;
  readonly #claimSize: ClaimSize;
  /** The oldest first. */
  readonly #claims: Claim[] = [];
  #config: Readonly<Record<string, unknown>> = {};
  #configText = '{}';
  #timeoutMs = routeTimeoutMs({});
  #waiting = 0;
  #isClaiming = false;
  /** Nothing is claimed before the route is offered again. */
  #isExhausted = true;

  constructor(routeCode: string, host: LaneHost) {
    this.routeCode = routeCode;
    this.#host = host;
    this.#flight = new Flight(host.registry, (...landed) => this.#landed(...landed));
    this.#claimSize = new ClaimSize(host.concurrency);
    this.#settler = new Settler({
      queue: host.queue,
      routeCode,
      claims: this.#claims,
      mostFailures: Math.max(FEWEST_FAILURES, host.concurrency),
      answered: (answer) => this.#answered(answer),
      missed: (outcomes) => host.unsettled(outcomes),
      failed: (error) => host.failed(error),
      settled: () => this.#settled(),
    });
  }

  /** Requests under way. */
  get inFlight(): number {
    return this.#flight.size;
  }

  /** Whether it holds deliveries, or is about to. */
  get isBusy(): boolean {
    return this.#claims.length > 0 || this.#isClaiming;
  }

  get claims(): readonly Claim[] {
    return this.#claims;
  }

  /** The route has something due. */
  offer({ config }: RouteWork): void {
    const text = JSON.stringify(config);
    // Targets keep what they read out of a config by its identity.
    if (text !== this.#configText) {
      this.#config = config;
      this.#configText = text;
      this.#timeoutMs = routeTimeoutMs(config);
    }
    this.#isExhausted = false;
    this.fill();
  }

  /** Begins nothing further of what was claimed; requests under way go on. */
  release(): void {
    this.#isExhausted = true;
    for (const claim of this.#claims) this.#leave(claim);
    this.#clear();
  }

  abort(failure: DeliveryFailure): void {
    this.#flight.abort(failure);
  }

  /** The deliveries of a claim are somebody else's: what was not begun is forgotten, what is under way ends. */
  loseLease(claim: Claim): void {
    this.#leave(claim);
    this.#flight.abort(LEASE_LOST, claim);
    this.#clear();
  }

  /** Ends requests whose time is over, and begins what could not be begun before its lease was renewed. */
  tick(now: number): void {
    this.#flight.sweep(now, this.#timeoutMs);
    for (const claim of [...this.#claims]) {
      if (claim.endsAt <= now && hasWaiting(claim)) this.loseLease(claim);
    }
    this.fill();
  }

  /** Begins as many requests as it may, and claims ahead. */
  fill(): void {
    if (!this.#host.isOpen || this.#settler.isBehind) return;
    const limit = Math.min(this.#host.concurrency, this.#host.share);
    while (this.#flight.size < limit && this.#waiting > 0 && this.#beginNext());
    if (this.#isExhausted || this.#isClaiming || this.#waiting >= this.#claimSize.enough) return;
    void this.#claim();
  }

  /** A request is only begun while its lease has more left than it may take. */
  #beginNext(): boolean {
    const claim = this.#claims.find(hasWaiting);
    if (claim === undefined || claim.endsAt - performance.now() <= this.#timeoutMs) return false;
    const delivery = claim.waiting.pop();
    if (delivery === undefined) return false;
    claim.inFlight += 1;
    this.#waiting -= 1;
    this.#flight.begin(claim, delivery, this.#config);
    return true;
  }

  async #claim(): Promise<void> {
    this.#isClaiming = true;
    const { routeCode } = this;
    const token = randomUUID();
    // It is renewed at a third of its time, so it always has more left than a request may take.
    const leaseMs = Math.max(this.#host.leaseMs, 2 * this.#timeoutMs);
    const limit = this.#claimSize.next();
    try {
      const mayClaim = await this.#host.enter();
      const endsAt = performance.now() + leaseMs;
      const order = { routeCode, limit, leaseMs, leaseToken: token };
      const deliveries = mayClaim ? await this.#host.queue.claim(order) : [];
      if (deliveries.length < limit) this.#isExhausted = true;
      if (deliveries.length > 0) {
        const fresh = { inFlight: 0, outcomes: [], failures: 0, isBusy: false };
        this.#claims.push({ token, leaseMs, waiting: deliveries.reverse(), endsAt, ...fresh });
        this.#waiting += deliveries.length;
        this.#host.claimed(deliveries.length);
      }
    } catch (error) {
      this.#isExhausted = true;
      // Nobody knows whether a claim was committed whose connection was lost.
      if (isConnectionLost(error)) this.#host.endLease(token);
      else if (!isTransient(error)) this.#host.failed(error);
    } finally {
      this.#isClaiming = false;
      this.#host.changed();
      if (this.#host.isOpen) this.fill();
      else this.release();
    }
  }

  #landed(claim: Claim, delivery: ClaimedDelivery, tried: TriedDelivery): void {
    const { failure } = tried.outcome;
    const again = failure === undefined ? null : retryMs(failure, delivery.tries + 1, this.#config);
    claim.inFlight -= 1;
    this.#settler.add(claim, outcomeJson(delivery, tried, again), failure !== undefined);
    if (failure?.disablesRoute === true) this.release();
    this.fill();
    this.#settler.settleSoon(this.#isDry);
  }

  #answered(answer: SettleAnswer): void {
    this.#host.settled(answer);
    if (answer.route_disabled || answer.breaker !== 'closed') this.release();
  }

  #settled(): void {
    this.#clear();
    this.fill();
    this.#settler.settleSoon(this.#isDry);
  }

  /** Nothing is under way or waits to be begun. */
  get #isDry(): boolean {
    return this.#flight.size === 0 && this.#waiting === 0;
  }

  #leave(claim: Claim): void {
    if (!hasWaiting(claim)) return;
    this.#waiting -= claim.waiting.length;
    claim.waiting.length = 0;
  }

  /** Forgets claims in which nothing is left to do. */
  #clear(): void {
    for (const claim of this.#claims.filter(isOver)) {
      this.#claims.splice(this.#claims.indexOf(claim), 1);
      this.#host.endLease(claim.token);
    }
    this.#host.changed();
  }
}
