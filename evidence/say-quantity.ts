/** Between a number and its unit, so that a line never ends between them. */
const NBSP = '\u00a0';

/** Milliseconds for people: `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`. */
export function sayDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}${NBSP}ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1).replace(/\.0$/, '')}${NBSP}s`;
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ] as const;
  const seconds = Math.round(ms / 1_000);
  const first = units.findIndex(([, size]) => seconds >= size);
  let rest = seconds;
  return units
    .slice(first, first + 2)
    .map(([unit, size]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return count === 0 ? '' : `${count}${NBSP}${unit}`;
    })
    .filter((part) => part !== '')
    .join(NBSP);
}

/** Bytes for people, in binary units, with the exact number where a unit is used. */
export function sayBytes(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const unit = ['B', 'KiB', 'MiB', 'GiB', 'TiB'][power];
  return `${(bytes / 1_024 ** power).toFixed(1)} ${unit} (${sayCount(bytes)} B)`;
}

/** `12 345`: thousands set apart by a narrow space, which no locale reads as a decimal mark. */
export function sayCount(count: number): string {
  const [whole = '', fraction] = String(count).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** An ISO time as `2025-11-21 12:34:56 UTC`. */
export function sayTime(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
}

/** `1 step`, `2 steps`. */
export function sayNumber(count: number, noun: string): string {
  return `${sayCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}
