/** Building and reading bucket URLs. Pure. */

export interface S3Form {
  endpoint: string;
  bucket: string;
  prefix: string;
  region: string;
  proxy?: string;
  storageClass?: string;
}

/** `s3://bucket/prefix?endpoint=…&region=…`, as the appliance reads it. */
export function bucketUrl({ endpoint, bucket, prefix, region, proxy = '', storageClass = '' }: S3Form): string {
  const place = [bucket.trim(), prefix.trim().replace(/^\/+|\/+$/g, '')].filter(Boolean).join('/');
  const query = [
    endpoint.trim() && `endpoint=${escape(endpoint.trim().replace(/\/+$/, ''))}`,
    region.trim() && `region=${escape(region.trim())}`,
    proxy.trim() && `proxy=${escape(proxy.trim())}`,
    storageClass.trim() && `class=${escape(storageClass.trim().toUpperCase())}`,
  ].filter(Boolean);
  return `s3://${place}${query.length > 0 ? `?${query.join('&')}` : ''}`;
}

/** Enough for a title: `s3://acme/holdfast`, and what follows the question mark apart. */
export function placeOf(url: string): { place: string; region: string | null; endpoint: string | null } {
  const [place = url, query = ''] = url.split('?');
  const options = new URLSearchParams(query);
  return { place, region: options.get('region'), endpoint: options.get('endpoint') };
}

/** Colons and slashes stay readable; the appliance takes them as they are. */
function escape(text: string): string {
  return encodeURIComponent(text).replace(/%3A/gi, ':').replace(/%2F/gi, '/');
}
