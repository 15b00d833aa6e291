import { afterEach, expect, it, vi } from 'vitest';
import { LoadError } from '../../src/core/errors.ts';
import { loadPart } from '../../src/core/load-part.ts';

afterEach(() => vi.unstubAllGlobals());

it('gives the part that came', async () => {
  expect(await loadPart('a number', async () => ({ number: 3 }))).toEqual({ number: 3 });
});

it('names what did not come, and what helps', async () => {
  const missing = '/no/such/file.js';
  const error = await loadPart('the decoder of GIF', () => import(/* @vite-ignore */ missing)).catch(e => e);
  expect(error).toBeInstanceOf(LoadError);
  expect(error.code).toBe('load');
  expect(error.cause).toBeInstanceOf(Error);
  expect(error.message).toContain('import: could not load the decoder of GIF: got ');
  expect(error.message).toContain(missing);
  expect(error.fix).toMatch(/^Install it again/);
  vi.stubGlobal('document', {});
  const inPage = await loadPart('the decoder of GIF', () => import(/* @vite-ignore */ missing)).catch(e => e);
  expect(inPage.fix).toBe('Try again, or reload the page.');
});
