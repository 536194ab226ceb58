import { createHash } from 'node:crypto';

const LONGEST = 120;

/**
 * The part of an address that a title gives, in the way that GitHub makes anchors: lower case, letters, digits,
 * `-` and `_` kept, a space becomes `-`. A title without any of them gives `section`; one longer than 120
 * characters is cut and ends in eight hex digits of its own digest, so that two long titles stay apart.
 */
export function headingSlug(title: string): string {
  const slug = title
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
    .replaceAll(' ', '-');
  if (slug.replaceAll('-', '') === '') return 'section';
  const characters = [...slug];
  if (characters.length <= LONGEST) return slug;
  const digest = createHash('sha256').update(slug).digest('hex').slice(0, 8);
  return `${characters.slice(0, LONGEST).join('')}-${digest}`;
}
