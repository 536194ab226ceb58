import { setMaxListeners } from 'node:events';
import { type DeliveryFailure, failed } from '../delivery-outcome.ts';
import type { DeliveryRegistry } from '../delivery-registry.ts';
import type { Claim } from './claim.ts';
import type { ClaimedDelivery } from './delivery-queue.ts';
import { type TriedDelivery, tryDelivery } from './try-delivery.ts';

/** Tries of one claim that begin within so many milliseconds share what aborts them: to make one each costs too much. */
const WAVE_MS = 250;
/** How long after its time a try may end by itself, and how long after it was aborted, in milliseconds. */
const TIMEOUT_GRACE_MS = 500;
const ABORT_GRACE_MS = 2_000;

const TIMED_OUT: DeliveryFailure = {
  code: 'timeout',
  message: 'The try took longer than timeout_ms and was ended; the target may have the event.',
  mayRetry: true,
  retryAfterMs: null,
};

/** Tries of one claim that begin, and are aborted, together. */
interface Wave {
  readonly claim: Claim;
  readonly controller: AbortController;
  readonly beganAt: number;
  readonly underWay: Set<ClaimedDelivery>;
  /** Why it was aborted, and when; undefined while it was not. */
  aborted?: { readonly failure: DeliveryFailure; readonly at: number };
}

/** Called once for each try, with what is to be recorded about it. */
export type Landed = (claim: Claim, delivery: ClaimedDelivery, tried: TriedDelivery) => void;

/** Tries of one lane that are under way. A try that was aborted and does not end counts as ended two seconds later. */
export class Flight {
  readonly #registry: DeliveryRegistry;
  readonly #landed: Landed;
  /** The oldest first. */
  readonly #waves: Wave[] = [];
  #size = 0;

  constructor(registry: DeliveryRegistry, landed: Landed) {
    this.#registry = registry;
    this.#landed = landed;
  }

  get size(): number {
    return this.#size;
  }

  begin(claim: Claim, delivery: ClaimedDelivery, config: Readonly<Record<string, unknown>>): void {
    const wave = this.#waveOf(claim);
    wave.underWay.add(delivery);
    this.#size += 1;
    void tryDelivery(this.#registry, delivery, { config, signal: wave.controller.signal }).then((tried) =>
      this.#land(wave, delivery, tried),
    );
  }

  /** Ends what is under way, or what of it belongs to a claim. */
  abort(failure: DeliveryFailure, claim?: Claim): void {
    for (const wave of this.#waves) {
      if (claim === undefined || wave.claim === claim) abortWave(wave, failure);
    }
  }

  /** Ends tries whose time is over. */
  sweep(now: number, timeoutMs: number): void {
    for (const wave of [...this.#waves]) {
      if (wave.aborted === undefined) {
        if (now - wave.beganAt > WAVE_MS + timeoutMs + TIMEOUT_GRACE_MS) abortWave(wave, TIMED_OUT);
      } else if (now - wave.aborted.at > ABORT_GRACE_MS) {
        const outcome = failed('external_endpoint', wave.aborted.failure);
        for (const delivery of wave.underWay) this.#land(wave, delivery, { outcome, body: undefined });
      }
    }
  }

  #waveOf(claim: Claim): Wave {
    const now = performance.now();
    const newest = this.#waves.at(-1);
    if (newest?.claim === claim && newest.aborted === undefined && now - newest.beganAt < WAVE_MS)
      return newest;
    const controller = new AbortController();
    setMaxListeners(0, controller.signal);
    const wave: Wave = { claim, controller, beganAt: now, underWay: new Set() };
    this.#waves.push(wave);
    return wave;
  }

  #land(wave: Wave, delivery: ClaimedDelivery, tried: TriedDelivery): void {
    if (!wave.underWay.delete(delivery)) return;
    this.#size -= 1;
    if (wave.underWay.size === 0) this.#waves.splice(this.#waves.indexOf(wave), 1);
    this.#landed(
      wave.claim,
      delivery,
      wave.aborted === undefined ? tried : ended(tried, wave.aborted.failure),
    );
  }
}

/** A try that failed after it was aborted failed for that reason. */
function ended(tried: TriedDelivery, failure: DeliveryFailure): TriedDelivery {
  const { outcome, body } = tried;
  return outcome.status === 'failed'
    ? { outcome: failed(outcome.targetKind, failure, outcome.detail), body }
    : tried;
}

function abortWave(wave: Wave, failure: DeliveryFailure): void {
  if (wave.aborted !== undefined) return;
  wave.aborted = { failure, at: performance.now() };
  wave.controller.abort(new Error(failure.message));
}
