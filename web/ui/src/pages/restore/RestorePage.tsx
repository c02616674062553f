export function RestorePage() { return <h1>RestorePage</h1>; }
