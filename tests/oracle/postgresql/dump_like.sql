--
-- PostgreSQL database dump
--
SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false; SET row_security = off; SET default_tablespace = '';
SET default_table_access_method = heap;

CREATE FUNCTION public.early() RETURNS integer
    LANGUAGE sql
    AS $$SELECT count(*)::integer FROM public.later;$$;
ALTER FUNCTION public.early() OWNER TO CURRENT_USER;
CREATE TABLE public.later (
    id integer NOT NULL,
    name text DEFAULT 'a;b'::text
);
CREATE SEQUENCE public.later_id_seq AS integer START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.later_id_seq OWNED BY public.later.id;
ALTER TABLE ONLY public.later ALTER COLUMN id SET DEFAULT nextval('public.later_id_seq'::regclass);
INSERT INTO public.later VALUES (7, 'it''s; \');
SELECT pg_catalog.setval('public.later_id_seq', 7, true);
INSERT INTO public.later (name) VALUES (public.early());
ALTER TABLE ONLY public.later ADD CONSTRAINT later_pkey PRIMARY KEY (id);
