import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addressFault } from '../../delivery/http/address-fault.ts';
import { addressRanges } from '../../delivery/http/address-ranges.ts';

const NOTHING = addressRanges([]);
/** Of the internet by everybody's reading. */
const PUBLIC = [8, 23, 52, 93, 104, 151];
const byte = fc.integer({ min: 0, max: 255 });
const special = fc.oneof(
  fc.tuple(fc.constantFrom(0, 10, 127), byte, byte, byte),
  fc.tuple(fc.constant(169), fc.constant(254), byte, byte),
  fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), byte, byte),
  fc.tuple(fc.constant(192), fc.constant(168), byte, byte),
  fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), byte, byte),
  fc.tuple(fc.integer({ min: 224, max: 255 }), byte, byte, byte),
);

function hex(high: number, low: number): string {
  return ((high << 8) | low).toString(16);
}

function carriers([a, b, c, d]: readonly [number, number, number, number]): string[] {
  const low = `${hex(a, b)}:${hex(c, d)}`;
  const flipped = `${hex(a ^ 255, b ^ 255)}:${hex(c ^ 255, d ^ 255)}`;
  return [
    `::ffff:${low}`,
    `64:ff9b::${low}`,
    `64:ff9b:1::${low}`,
    `::ffff:0:${low}`,
    `2002:${low}::1`,
    `2001:0:102:304:0:1:${flipped}`,
    `2606:4700::5efe:${low}`,
    `2606:4700::200:5efe:${low}`,
  ];
}

it('a special IPv4 address is refused, and so is every IPv6 address that carries it', () => {
  fc.assert(
    fc.property(special, (octets) => {
      expect(addressFault(octets.join('.'), NOTHING)).not.toBeNull();
      for (const address of carriers(octets))
        expect([address, addressFault(address, NOTHING)]).not.toContain(null);
    }),
  );
});

it('a public IPv4 address passes: bare, mapped, and through NAT64', () => {
  fc.assert(
    fc.property(fc.constantFrom(...PUBLIC), byte, byte, byte, (a, b, c, d) => {
      expect(addressFault([a, b, c, d].join('.'), NOTHING)).toBeNull();
      for (const prefix of ['::ffff:', '64:ff9b::']) {
        expect(addressFault(`${prefix}${hex(a, b)}:${hex(c, d)}`, NOTHING)).toBeNull();
      }
    }),
  );
});

it('an allowed range lets its own addresses through, and the mapped and NAT64 forms of them, and nothing else', () => {
  const allowed = addressRanges(['10.1.0.0/16', 'fd00:1::/32']);
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '64:ff9b::10.1.2.3', 'fd00:1::5']) {
    expect([address, addressFault(address, allowed)]).toEqual([address, null]);
  }
  for (const address of [
    '10.2.0.1',
    '127.0.0.1',
    'fd00:2::1',
    '2002:a01:203::',
    '64:ff9b:1::10.1.2.3',
    '::1',
  ]) {
    expect([address, addressFault(address, allowed)]).not.toContain(null);
  }
});

it.each([
  ['127.0.0.1', 'which is loopback'],
  ['::ffff:169.254.169.254', 'which is linkLocal, as IPv4-mapped'],
  ['2002:7f00:1::', 'which is 6to4'],
  ['2606:4700::5efe:10.0.0.1', 'which is private, as ISATAP'],
  ['127.1', 'which is not an address'],
  ['', 'which is not an address'],
])('the reason for %s is "%s"', (address, reason) => {
  expect(addressFault(address, NOTHING)).toBe(reason);
});
