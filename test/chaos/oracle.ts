import { type DraftEvent, routesOf } from './chaos-events.ts';

/** What the writers know to be committed, kept outside the database. */
export interface Oracle {
  readonly ids: string[];
  /** Beside each id, the routes that the event has to be decided for. */
  readonly routes: (readonly string[])[];
  note(events: readonly EmittedEvent[]): void;
}

export interface EmittedEvent {
  readonly id: string;
  readonly draft: DraftEvent;
}

/** Knows nothing yet. */
export function emptyOracle(): Oracle {
  const ids: string[] = [];
  const routes: (readonly string[])[] = [];
  return {
    ids,
    routes,
    note(events) {
      for (const { id, draft } of events) {
        ids.push(id);
        routes.push(routesOf(draft));
      }
    },
  };
}
