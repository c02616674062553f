import { describe, expect, it } from 'vitest';
import { bucketUrl, placeOf } from './bucket';
import { parseBundle } from './bundle';
import { keyGroups, places, sameGroup } from './kit';

describe('bucket addresses', () => {
  it('are written as the appliance reads them', () => {
    const s3 = { endpoint: ' https://s3.example.com/ ', bucket: 'acme', prefix: '/holdfast/', region: 'eu-central-1' };
    expect(bucketUrl(s3)).toBe('s3://acme/holdfast?endpoint=https://s3.example.com&region=eu-central-1');
    expect(bucketUrl({ endpoint: '', bucket: 'acme', prefix: '', region: '' })).toBe('s3://acme');
    expect(bucketUrl({ endpoint: '', bucket: 'acme', prefix: '', region: 'a&b' })).toBe('s3://acme?region=a%26b');
    const way = { proxy: ' http://ada@proxy:3128 ', storageClass: 'standard_ia' };
    expect(bucketUrl({ endpoint: '', bucket: 'acme', prefix: '', region: '', ...way })).toBe(
      's3://acme?proxy=http://ada%40proxy:3128&class=STANDARD_IA',
    );
  });

  it('are shown as place and region', () => {
    expect(placeOf('s3://acme/x?endpoint=http://h:1&region=eu')).toEqual({ place: 's3://acme/x', region: 'eu', endpoint: 'http://h:1' });
    expect(placeOf('file:///srv/bucket').place).toBe('file:///srv/bucket');
  });
});

describe('bundles', () => {
  it('are taken whole or not at all', () => {
    expect(parseBundle(' {"payload":"p","key":"k","signature":"s","more":1} ')).toEqual({ payload: 'p', key: 'k', signature: 's' });
    for (const bad of ['', '{}', 'null', '{"payload":"p","key":1,"signature":"s"}', 'hfe1_abc']) expect(parseBundle(bad)).toBeNull();
  });
});

describe('recovery kit', () => {
  const text = 'Repository:    5f2a9c0e7d1b4a3f8e6c2d1a0b9f8e7d\nRecovery key:  4k7qx9-m2tdpb-31fh8z-ncw5ry-xy\n';

  it('gives the whole groups of its key', () => {
    expect(keyGroups(text)).toEqual(['4k7qx9', 'm2tdpb', '31fh8z', 'ncw5ry']);
    expect(keyGroups('no key here')).toEqual([]);
  });

  it('asks for two different groups, whatever the dice say', () => {
    for (const dice of [0, 0.3, 0.5, 0.99]) {
      const [first, second] = places(4, () => dice);
      expect(first).toBeLessThan(second);
      expect(second).toBeLessThan(4);
    }
  });

  it('forgives case and spaces', () => {
    expect(sameGroup(' M2TDPB ', 'm2tdpb')).toBe(true);
    expect(sameGroup('m2tdp', 'm2tdpb')).toBe(false);
  });
});
