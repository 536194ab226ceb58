-- does:      lets the cursors work again that runtime 120 lets rest, and no other; what waited is routed by the next drain.
-- called by: the rollback of macro delivery-live, after its gate is closed.
-- locks:     the cursors' rows.
-- raises:    nothing of its own.

update iu_route_worker_cursor
set paused_because = null
where iu_route_worker_cursor.paused_because = 'delivery-live: one controlled delivery';
