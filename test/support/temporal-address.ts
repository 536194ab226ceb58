import { randomUUID } from 'node:crypto';
import { demand, harness } from './harness.ts';

/** `host:port` of the Temporal dev server of this run; namespace `default`, search attributes registered. */
export function temporalAddress(): string {
  return demand(harness().temporal).address;
}

/** The Temporal UI of this run's server. */
export function temporalUiUrl(): string {
  return demand(harness().temporal).uiUrl;
}

/** The Temporal CLI that this run's server came from. */
export function temporalProgram(): string {
  return demand(harness().temporal).program;
}

/** A task queue of its own for a test, so that no worker of another test takes its tasks. */
export function ownTaskQueue(name = 'test'): string {
  return `${name}-${randomUUID()}`;
}
