/** One line of `sluice doctor`. */
export interface DoctorPart {
  readonly part: string;
  /** What was found, without secrets; null when it is not there. */
  readonly found: string | null;
  readonly version: string | null;
  /** Which way of finding it is used; null where there is only one. */
  readonly rung: string | null;
  readonly ok: boolean;
  /** The exact command or step that makes it right; null when nothing is wrong. */
  readonly fix: string | null;
}

/** A part that is as it should be. */
export function fine(part: string, found: string, more: Partial<DoctorPart> = {}): DoctorPart {
  return { part, found, version: null, rung: null, ok: true, fix: null, ...more };
}

/** A part that is missing or wrong, with what to do. */
export function wrong(
  part: string,
  found: string | null,
  fix: string,
  more: Partial<DoctorPart> = {},
): DoctorPart {
  return { part, found, version: null, rung: null, ok: false, fix, ...more };
}
