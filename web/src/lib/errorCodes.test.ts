import { describe, expect, it } from 'vitest';

import { placeOf, placesOf } from '~/lib/errorCodes';

const PAGE = `<h2 id="how-a-run-ends">How</h2><h3 id="script_error"><code>SCRIPT_ERROR</code></h3>
  <h3 id="httpstatus">…</h3><h3 id="postgres">…</h3><h3 id="postgres_1">…</h3><a id="__search">…</a>`;

describe('the place of an error code in the documents', () => {
  const places = new Set(placesOf(PAGE));
  it.each([
    ['SCRIPT_ERROR', 'script_error'],
    ['HttpStatus:503', 'httpstatus'],
    ['Postgres', 'postgres'],
    ['Postgres:23505', 'postgres_1'],
    ['MY_PLUGIN_SAYS_NO', null],
    ['__search', null],
    ['', null],
  ])('%s is at %s', (code, place) => {
    expect(placeOf(code, places)).toBe(place);
  });

  it('is nowhere when the page is not there', () => {
    expect(placeOf('SCRIPT_ERROR', new Set(placesOf('<h1>No documents here</h1>')))).toBeNull();
  });
});
