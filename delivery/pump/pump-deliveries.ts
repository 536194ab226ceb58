import { randomUUID } from 'node:crypto';
import type { DeliverResult } from '../../contracts/deliver.ts';
import type { DeliveryRegistry } from '../delivery-registry.ts';
import { type DeliveryQueue, deliveryQueue, type GateStatus, type RouteWork } from './delivery-queue.ts';
import { EndedLeases } from './ended-leases.ts';
import { isTransient } from './is-transient.ts';
import { keepLeases } from './keep-leases.ts';
import type { LaneHost } from './lane-host.ts';
import { Lanes } from './lanes.ts';
import { isConnectionLost, type LastingSessionOptions, lastingSession } from './lasting-session.ts';
import { Patience } from './patience.ts';
import { Pauses, waitFor } from './pauses.ts';
import { STOPPED } from './retry-ms.ts';
import { SessionLock } from './session-lock.ts';
import { Tally } from './tally.ts';

export interface PumpOptions {
  readonly session: Omit<LastingSessionOptions, 'onLost'>;
  readonly registry: DeliveryRegistry;
  /** Requests in flight of one route. */
  readonly concurrency: number;
  readonly leaseMs: number;
  /** Who claims, for on-call. */
  readonly worker: string;
  /** 0: until nothing is due. Otherwise it goes on looking for so many milliseconds. */
  readonly forMs: number;
  /** Pause between two looks, in milliseconds. */
  readonly idleMs: number;
  /** After so many milliseconds it claims nothing further. */
  readonly sliceMs: number;
  readonly signal: AbortSignal;
  /** From then on it claims nothing further, as after `sliceMs`: what is under way goes on to its own end. */
  readonly ending?: AbortSignal;
  readonly report?: (counts: DeliverResult) => void;
}

export interface Pumped extends DeliverResult {
  /** Nothing was due, and `forMs` was over. */
  readonly isDone: boolean;
}

/** The longest pause between two looks at the queue while something is under way, in milliseconds. */
const LONGEST_PAUSE_MS = 1_000;
/** How often leases and requests are looked after, in milliseconds. */
const TICK_MS = 250;
/** How long requests under way may go on when a gate was closed, and when deliveries were cancelled, in milliseconds. */
const GATE_GRACE_MS = 5_000;
const CANCEL_GRACE_MS = 10_000;
/** How long outcomes are tried to be settled at the end, in milliseconds. */
const SETTLE_GRACE_MS = 20_000;
/** Looks in a row that find something due of which nothing can be claimed: somebody else has it. */
const FRUITLESS_LOOKS = 3;
/** Queued deliveries of a deleted route that become dead letters at once. */
const BURIED_AT_ONCE = 1_000;
/** Burials that count as progress; what somebody else holds cannot be buried. */
const MOST_BURIALS = 1_000;

/**
 * Delivers what is queued, each route in a lane of its own. A closed gate is no error: what is in flight gets a moment, the
 * rest is given back, and the status says so. Over a lost connection it goes on with a new one.
 *
 * @throws SluiceError `target_unreachable` where the database stays away for longer than a lease; any other error of the
 * database as it is. What was claimed was given back, or comes back when its lease ends
 */
export async function pumpDeliveries(options: PumpOptions): Promise<Pumped> {
  const pump = new DeliveryPump(options);
  try {
    return await pump.run();
  } finally {
    await pump.close();
  }
}

class DeliveryPump implements LaneHost {
  readonly queue: DeliveryQueue;
  readonly registry: DeliveryRegistry;
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly #options: PumpOptions;
  readonly #kinds: readonly string[];
  readonly #sessions: readonly { close(): Promise<void> }[];
  readonly #lock: SessionLock;
  readonly #tally = new Tally();
  readonly #pauses = new Pauses();
  readonly #lanes = new Lanes(this);
  readonly #endedLeases: EndedLeases;
  readonly #patience: Patience;
  #status: GateStatus | 'not_run' = 'not_run';
  /** Nothing is claimed or begun while a gate is closed, nor at the end. */
  #phase: 'open' | 'closed' | 'ending' = 'open';
  /** The session that held the lock was lost while deliveries were held. */
  #isUnlocked = false;
  #isTicking = false;
  #failure: { readonly error: unknown } | undefined;
  #fruitlessLooks = 0;
  #claimedSinceLook = 0;
  #burials = 0;

  constructor(options: PumpOptions) {
    const { session, registry, concurrency, leaseMs, worker } = options;
    this.#options = options;
    this.registry = registry;
    this.concurrency = concurrency;
    this.leaseMs = leaseMs;
    this.#kinds = [...registry.values()].filter(({ isBuilt }) => isBuilt).map(({ kind }) => kind);
    const claiming = lastingSession({ ...session, onLost: () => this.#sessionLost() });
    const settling = lastingSession(session);
    this.#sessions = [claiming, settling];
    this.queue = deliveryQueue(claiming, settling, worker);
    this.#lock = new SessionLock(this.queue);
    this.#endedLeases = new EndedLeases(this.queue);
    this.#patience = new Patience(leaseMs);
  }

  async run(): Promise<Pumped> {
    const { signal, ending } = this.#options;
    const stop = () => {
      this.#lanes.release();
      this.#pauses.wake();
    };
    signal.addEventListener('abort', stop);
    const end = () => {
      this.#phase = 'ending';
      stop();
    };
    ending?.addEventListener('abort', end);
    if (ending?.aborted === true) end();
    const ticker = setInterval(() => void this.#tick(), TICK_MS);
    try {
      const isDone = await this.#loop().catch((error: unknown) => this.failed(error));
      this.#phase = 'ending';
      await this.#standDown(signal.aborted ? CANCEL_GRACE_MS : GATE_GRACE_MS);
      if (this.#failure !== undefined) throw this.#failure.error;
      return { ...this.#counted(), isDone: isDone === true };
    } finally {
      clearInterval(ticker);
      signal.removeEventListener('abort', stop);
      ending?.removeEventListener('abort', end);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.close()));
  }

  get share(): number {
    return this.#lanes.share;
  }

  get isOpen(): boolean {
    return this.#phase === 'open' && !this.#isUnlocked && !this.#options.signal.aborted;
  }

  enter(): Promise<boolean> {
    return this.#lock.enter();
  }

  claimed(deliveries: number): void {
    this.#claimedSinceLook += deliveries;
  }

  endLease(token: string): void {
    this.#endedLeases.add(token);
  }

  settled(answer: Parameters<LaneHost['settled']>[0]): void {
    this.#tally.add(answer);
  }

  unsettled(outcomes: number): void {
    this.#tally.refuse(outcomes);
  }

  changed(): void {
    this.#lanes.recount();
    if (this.#claimedSinceLook > 0 && !this.#lanes.isBusy) this.#pauses.wake();
  }

  failed(error: unknown): void {
    this.#failure ??= { error };
    this.#pauses.wake();
  }

  /** True when nothing is due and `forMs` is over. */
  async #loop(): Promise<boolean> {
    const { signal, forMs, sliceMs, report } = this.#options;
    while (true) {
      const { hasDue, pauseMs } = await this.#look();
      if (this.#failure !== undefined || signal.aborted) return false;
      report?.(this.#counted());
      const { elapsedMs } = this.#tally;
      const isIdle = !this.#lanes.isBusy;
      if (isIdle && this.#phase === 'ending') return false;
      if (isIdle && !hasDue && elapsedMs >= forMs) return true;
      if (elapsedMs >= sliceMs) {
        this.#phase = 'ending';
        this.#lanes.release();
        if (isIdle) return false;
      }
      await this.#pauses.sleep(pauseMs);
      if (this.#failure !== undefined || signal.aborted) return false;
    }
  }

  /** Asks what is to be done and gives it to the lanes; a connection that is lost is waited for as long as a lease lasts. */
  async #look(): Promise<Look> {
    try {
      const look = await this.#lookNow();
      this.#patience.renew();
      return look;
    } catch (error) {
      this.#patience.bear(error);
      return { hasDue: true, pauseMs: LONGEST_PAUSE_MS / 4 };
    }
  }

  async #lookNow(): Promise<Look> {
    const { idleMs } = this.#options;
    await this.#endedLeases.giveBack();
    const { status, routes } = await this.queue.work(this.#kinds);
    const mayGoOn = status !== 'open' || !this.#lanes.isBusy || (await this.#lock.enter());
    this.#status = mayGoOn ? status : 'gate_closing';
    this.#isUnlocked = false;
    if (this.#status !== 'open') {
      if (this.#phase === 'open') this.#phase = 'closed';
      await this.#standDown(GATE_GRACE_MS);
      return { hasDue: false, pauseMs: idleMs };
    }
    if (this.#phase === 'closed') this.#phase = 'open';
    const wasFruitless = this.#fruitlessLooks > 0 && this.#claimedSinceLook === 0 && !this.#lanes.isBusy;
    this.#claimedSinceLook = 0;
    const hasDue = this.#phase === 'open' && (await this.#offer(routes));
    this.#fruitlessLooks = !hasDue ? 0 : wasFruitless ? this.#fruitlessLooks + 1 : 1;
    if (!hasDue && !this.#lanes.isBusy) await this.#lock.leave();
    const dueInMs = Math.min(...routes.map((route) => route.dueInMs ?? Number.POSITIVE_INFINITY));
    const pauseMs = this.#lanes.isBusy ? Math.min(idleMs, LONGEST_PAUSE_MS) : Math.min(idleMs, dueInMs);
    return { hasDue: hasDue && this.#fruitlessLooks <= FRUITLESS_LOOKS, pauseMs };
  }

  async #offer(routes: readonly RouteWork[]): Promise<boolean> {
    let hasDue = false;
    for (const route of routes) {
      const { routeCode, state } = route;
      if (state === 'ready' || state === 'half_open') {
        hasDue = true;
        this.#lanes.offer(route);
      } else if (state === 'removed') {
        hasDue = true;
        this.#lanes.release(routeCode);
        const order = { routeCode, limit: BURIED_AT_ONCE, leaseMs: this.leaseMs, leaseToken: randomUUID() };
        await this.queue.claim(order);
        this.#burials += 1;
        if (this.#burials < MOST_BURIALS) this.#claimedSinceLook += 1;
      } else if (state !== 'later') {
        this.#lanes.release(routeCode);
      }
    }
    return hasDue;
  }

  /** Lets requests under way end for a while, ends the others, settles them all, gives the rest back and the lock. */
  async #standDown(graceMs: number): Promise<void> {
    this.#lanes.release();
    await unlessLost(this.#endedLeases.giveBack());
    await waitFor(() => this.#lanes.inFlight === 0, graceMs);
    this.#lanes.abort(STOPPED);
    await waitFor(() => !this.#lanes.isBusy, SETTLE_GRACE_MS);
    if (this.#phase === 'ending') {
      this.#lanes.giveUp();
      await waitFor(() => !this.#lanes.isBusy, LONGEST_PAUSE_MS);
    }
    await unlessLost(this.#endedLeases.giveBack());
    await unlessLost(this.#lock.leave());
  }

  async #tick(): Promise<void> {
    this.#lanes.tick(performance.now());
    if (this.#isTicking) return;
    this.#isTicking = true;
    try {
      await keepLeases(this.queue, this.#lanes);
    } catch (error) {
      if (!isConnectionLost(error) && !isTransient(error)) this.failed(error);
    } finally {
      this.#isTicking = false;
    }
  }

  #sessionLost(): void {
    this.#lock.lost();
    this.#isUnlocked = this.#lanes.isBusy;
    this.#pauses.wake();
  }

  #counted(): DeliverResult {
    return this.#tally.result(this.#lanes.inFlight, this.#status);
  }
}

interface Look {
  /** Something is due, or nobody knows. */
  readonly hasDue: boolean;
  readonly pauseMs: number;
}

/** What cannot be given back over a connection that was lost comes back when its lease ends. */
async function unlessLost(done: Promise<void>): Promise<void> {
  await done.catch((error: unknown) => {
    if (!isConnectionLost(error) && !isTransient(error)) throw error;
  });
}
