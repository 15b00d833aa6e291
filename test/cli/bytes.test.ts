import { describe, expect, it } from 'vitest';
import { parseBytes } from '../../src/cli/bytes.ts';

describe('parseBytes', () => {
  it.each([
    ['1', 1],
    ['134217728', 2 ** 27],
    ['12b', 12],
    ['3kB', 3000],
    ['3KiB', 3072],
    ['128MiB', 128 * 2 ** 20],
    ['128mib', 128 * 2 ** 20],
    ['500 MB', 5e8],
    ['2GB', 2e9],
    ['1.2GB', 1.2e9],
    ['1.5GiB', 1.5 * 2 ** 30],
    [' .5 GB ', 5e8],
    ['1.0001kB', 1000],
    ['1TB', 1e12],
    ['1TiB', 2 ** 40],
  ])('%s are %d bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each([
    '',
    ' ',
    '0',
    '0GB',
    '-1GB',
    'GB',
    '2G',
    '2 G B',
    '1e9',
    'NaN',
    '1,5GB',
    '0.5',
    '1..2GB',
    '2constructor',
    '0x10',
    '9e99',
  ])("refuses '%s' with an example", text => {
    expect(() => parseBytes(text)).toThrow(/such as 2GB/);
  });

  it('refuses more bytes than a number can count', () => {
    expect(() => parseBytes('99999999999TiB')).toThrow(/number of bytes/);
  });
});
